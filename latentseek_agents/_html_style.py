"""How the page of :mod:`latentseek_agents._html` looks; nothing of it reaches what stands around it."""

__all__ = ["STYLE"]

_LIGHT = """--ink: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d5d9e0; --card: #f6f8fa;
  --good: #1a7f37; --bad: #c01c28; --unsure: #8a5a00; --changed: #ffe58a; --wrong: #ffd7d5;"""
_DARK = """--ink: #e6edf3; --paper: #0d1117; --soft: #9aa4b2; --line: #3a424d; --card: #161b22;
  --good: #4cc860; --bad: #ff7b72; --unsure: #e0a733; --changed: #6b5600; --wrong: #6e1f22;"""

# In a notebook the notebook's own theme counts, not that of the system.
STYLE = f"""
.latentseek {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ .latentseek {{ {_DARK} }} }}
[data-jp-theme-light="true"] .latentseek, .vscode-light .latentseek {{ color-scheme: light; {_LIGHT} }}
[data-jp-theme-light="false"] .latentseek, .vscode-dark .latentseek {{ color-scheme: dark; {_DARK} }}
.latentseek {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  box-sizing: border-box; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }}
.latentseek *, .latentseek *::after {{ box-sizing: border-box; }}
.latentseek h1 {{ font-size: 1.2rem; font-weight: 600; margin: 0; }}
.latentseek h2 {{ font-size: 1.3rem; line-height: 1.35; margin: 0 0 .6rem; white-space: pre-wrap; }}
.latentseek p {{ margin: .3rem 0; }}
.latentseek span, .latentseek strong, .latentseek a {{ unicode-bidi: isolate; }}
.latentseek section {{ border-top: 1px solid var(--line); margin-top: 1rem; padding-top: 1.4rem; }}
.latentseek > style + section {{ border-top: 0; margin-top: 0; padding-top: 0; }}
.latentseek .soft {{ color: var(--soft); }}
.latentseek .good {{ color: var(--good); }}
.latentseek .bad {{ color: var(--bad); }}
.latentseek .unsure {{ color: var(--unsure); }}
.latentseek .badge {{ display: inline-block; font-weight: 600; font-size: 13px; white-space: nowrap; }}
.latentseek .answer {{ font-size: 1.15rem; }}
.latentseek .overview {{ margin: .8rem 0 0; padding-left: 2.2rem; }}
.latentseek a {{ color: inherit; }}
.latentseek .chart {{ display: block; width: 100%; height: 176px; margin: 1rem 0 .8rem; }}
.latentseek .chart text {{ fill: var(--soft); font-size: 12px; }}
.latentseek .chart .chosen {{ fill: var(--ink); font-weight: 600; }}
.latentseek details {{ background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin: .5rem 0; padding: .45rem .8rem; }}
.latentseek details.returned {{ border: 2px solid var(--ink); }}
.latentseek summary {{ cursor: pointer; }}
.latentseek summary .name {{ display: inline-block; min-width: 6.3rem; font-weight: 600; }}
.latentseek summary .score {{ display: inline-block; min-width: 3.2rem; font-variant-numeric: tabular-nums; }}
.latentseek summary .badge {{ min-width: 6.2rem; }}
.latentseek .preview {{ display: block; color: var(--soft); font: 13px/1.5 ui-monospace, monospace;
  margin: .15rem 0 0 1rem; }}
.latentseek details[open] .preview {{ display: none; }}
.latentseek .returned .tag {{ background: var(--ink); color: var(--paper); border-radius: .3rem;
  font-size: 12px; padding: .05rem .4rem; margin-right: .4rem; }}
.latentseek .label {{ color: var(--soft); font-size: 13px; margin: .9rem 0 .15rem; }}
.latentseek .text {{ font: 14px/1.65 ui-monospace, monospace; white-space: pre-wrap; color: inherit;
  background: none; border: 0; margin: 0; padding: 0; }}
.latentseek mark {{ color: inherit; background: var(--changed); border-radius: .2rem;
  box-shadow: inset 1px 0 var(--card); }}
.latentseek mark.wrong {{ background: var(--wrong); text-decoration: underline wavy var(--bad); }}
.latentseek mark.wrong::after {{ content: " ✗ " attr(title); font-weight: 600;
  display: inline-block; padding-left: .35em; }}
.latentseek table {{ border-collapse: collapse; color: inherit; font-size: 13px; margin: .2rem 0;
  width: auto; }}
.latentseek tr {{ background: none; }}
.latentseek td, .latentseek th {{ text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0;
  border: 0; overflow-wrap: break-word; white-space: normal; }}
@media (max-width: 36rem) {{
  .latentseek td {{ display: inline; padding: 0 .35rem 0 0; }}
  .latentseek th, .latentseek td:nth-child(3) {{ display: none; }}
  .latentseek tr {{ display: block; margin-bottom: .35rem; }}
}}
"""
