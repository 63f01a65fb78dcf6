"""Symbolic mathematics in a child process that can be killed; the parent never loads SymPy or mpmath."""

from latentseek_agents.tools._symbolic.sandbox import (
    CalculationError,
    Sandbox,
    SandboxError,
    SandboxTimeoutError,
    shared_sandbox,
)

__all__ = ["CalculationError", "Sandbox", "SandboxError", "SandboxTimeoutError", "shared_sandbox"]
