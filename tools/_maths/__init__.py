"""What steps and answers share: words for numbers, units and operations, and bounded exact arithmetic."""
