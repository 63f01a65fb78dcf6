// From a search in plain values (watch/view) to elements. Every text becomes a text node, never markup.

/** An element with a class, attributes and children; a string is a text node. */
export function element(tag, { className = "", ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...present(children));
  return made;
}

const present = (children) => children.filter((child) => child !== null && child !== undefined && child !== "");

const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const VERDICTS = new Map([
  [true, ["good", "✓ passed"]],
  [false, ["bad", "✗ not passed"]],
  [null, ["unsure", "? not judged"]],
]);

function badge(passed) {
  const [kind, label] = VERDICTS.get(passed ?? null);
  return element("span", { className: `badge ${kind}` }, label);
}

const signed = (number) => number.toFixed(2).replace("-", "−");

const named = (attempt) => attempt.name[0].toUpperCase() + attempt.name.slice(1);

/** The text of a solution, with what was found about each part; a mark appears after those before it. */
function solution(pieces) {
  const text = element("div", { className: "text" });
  let marks = 0;
  let program = null;
  for (const piece of pieces) {
    if (!piece.code) program = null;
    else if (!program) text.append((program = element("code")));
    const place = program ?? text;
    if (!piece.status) {
      place.append(...withFences(piece.text));
      continue;
    }
    const mark = element("mark", { className: piece.status }, piece.text);
    if (piece.reason) mark.title = piece.reason;
    mark.style.animationDelay = `${Math.min(marks++ * 90, 1500)}ms`;
    place.append(mark);
    if (piece.status === "refuted" && piece.reason) {
      place.append(element("span", { className: "why bad" }, `✗ ${piece.reason}`));
    }
  }
  return text;
}

/** Text whose marks around programs stand back. */
const withFences = (text) =>
  text.split(/(```[^\n]*)/).map((part, place) => (place % 2 ? element("span", { className: "fence" }, part) : part));

/** The tokens at the latents; those that the update changed turn over. */
function latents(attempt) {
  if (!attempt.latent_count) return null;
  // Positions behind the last token are of an attempt before that was longer.
  const changed = new Set(attempt.changed.filter((place) => place < attempt.latent_count));
  const all = attempt.latent_count === 1 ? "the latent" : `the ${attempt.latent_count} latents`;
  const said =
    attempt.iteration === 0
      ? `Tokens at ${all}`
      : changed.size
        ? `${counted(changed.size, "token")} at ${all} changed`
        : `No token at ${all} changed`;
  const strip = element("div", { className: "tokens" });
  let flips = 0;
  attempt.latents.forEach((token, place) => {
    const shown = token.replaceAll("\n", "⏎");
    const cell = element("span", { className: changed.has(place) ? "token flipped" : "token" }, shown);
    if (changed.has(place)) cell.style.animationDelay = `${Math.min(flips++ * 40, 2000)}ms`;
    strip.append(cell);
  });
  return element("section", { className: "latents" }, element("h3", {}, said), attempt.latents.length ? strip : null);
}

function programs(attempt) {
  if (!attempt.programs.length) return null;
  const rows = attempt.programs.map((program) =>
    element(
      "li",
      { className: program.status },
      element("span", { className: "output" }, program.printed.trim() || "nothing"),
      program.reason ? element("span", { className: "soft" }, program.reason) : null,
    ),
  );
  const title = rows.length === 1 ? "The program prints" : "The programs print";
  return element("section", { className: "programs" }, element("h3", {}, title), element("ul", {}, ...rows));
}

function aim(attempt) {
  if (!attempt.aimed_at) return null;
  const { stated, value } = attempt.aimed_at;
  return element(
    "p",
    { className: "soft" },
    "Written anew from the first error: ",
    element("s", {}, String(stated)),
    " → ",
    element("strong", {}, String(value)),
  );
}

/** The card of an attempt that was judged. */
export function attemptCard(attempt, { open }) {
  const answer = attempt.answer === null ? "no answer" : attempt.answer;
  const summary = element(
    "summary",
    {},
    element("span", { className: "name" }, named(attempt)),
    badge(attempt.passed),
    attempt.score === null ? null : element("span", { className: "score soft" }, signed(attempt.score)),
    element("span", { className: "tag", hidden: "" }),
    element("span", { className: attempt.answer === null ? "answer soft" : "answer" }, answer),
  );
  const thought = attempt.thinking
    ? element(
        "details",
        { className: "thought" },
        element("summary", {}, "What it thought before"),
        element("div", { className: "text soft" }, attempt.thinking),
      )
    : null;
  const card = element(
    "details",
    { className: "attempt" },
    summary,
    element(
      "div",
      { className: "body" },
      attempt.reason ? element("p", { className: "reason soft" }, attempt.reason) : null,
      aim(attempt),
      thought,
      attempt.pieces.length ? solution(attempt.pieces) : element("p", { className: "soft" }, "It wrote nothing."),
      attempt.finish_reason === "length"
        ? element("p", { className: "soft" }, "Cut off at the limit of tokens.")
        : null,
      programs(attempt),
      latents(attempt),
    ),
  );
  card.open = open;
  return card;
}

/** Marks the card of the attempt that is returned, or would be if the search ended here. */
export function markReturned(card, returned, over) {
  card.classList.toggle("returned", returned);
  const tag = card.querySelector(".tag");
  tag.hidden = !returned;
  tag.textContent = over ? "returned" : "leads";
}

/** The card of an attempt that is being written. */
export class WritingCard {
  constructor(iteration, behindLatents) {
    this.iteration = iteration;
    this.text = document.createTextNode("");
    this.count = element("span", { className: "soft" });
    const name = iteration === 0 ? "Draft" : `Attempt ${iteration}`;
    this.element = element(
      "section",
      { className: "attempt writing", "aria-label": `${name}, being written` },
      element("div", { className: "head" }, element("span", { className: "name" }, name), this.count),
      element(
        "div",
        { className: "body" },
        behindLatents ? element("p", { className: "soft" }, "Behind the latents' tokens it writes on:") : null,
        element("div", { className: "text" }, this.text, element("span", { className: "caret" })),
      ),
    );
  }

  add(text, tokens) {
    this.text.appendData(text);
    this.count.textContent = counted(tokens, "token");
  }
}

const heaviest = (votes) => Math.max(...votes.map((vote) => vote.weight), 1e-9);

/** Who voted for what, as bars. */
export function showVotes(box, votes) {
  box.hidden = !votes.length;
  const most = heaviest(votes);
  const rows = votes.map((vote) => {
    const bar = element("span", { className: "bar", "aria-hidden": "true" });
    bar.style.inlineSize = `${(100 * vote.weight) / most}%`;
    const chips = vote.voters.map((voter) => element("li", {}, voter));
    return element(
      "li",
      {},
      element("span", { className: "answer" }, vote.answer),
      element("span", { className: "weight" }, vote.weight.toFixed(2)),
      element("span", { className: "track" }, bar),
      element("ul", { className: "voters", "aria-label": "voters" }, ...chips),
    );
  });
  box.replaceChildren(element("h2", {}, "Votes"), element("ol", {}, ...rows));
}

/** The answer, or the best so far, and why. */
export function showResult(box, view, { over, stopped }) {
  box.hidden = !view.attempts.length;
  box.classList.toggle("over", over);
  const answer = view.answer ?? "no answer";
  const long = answer.length > 24 ? " long" : "";
  const [kind, label] = verdict(view.passed ?? null, over);
  const spent = [counted(view.attempts.length, "attempt"), counted(view.tokens, "token"), `${view.seconds.toFixed(1)} s`];
  const reasons = over ? [stopped, view.ended, view.why].filter(Boolean) : [];
  box.replaceChildren(
    ...present([
      element("h2", {}, over ? "Answer" : "So far"),
      element("p", { className: `answer${long}${view.answer === null ? " soft" : ""}` }, answer),
      element("p", {}, element("span", { className: `badge ${kind}` }, label)),
      ...reasons.map((reason) => element("p", {}, reason)),
      view.correction ? element("p", { className: "correction" }, view.correction) : null,
      element("p", { className: "soft" }, spent.join(" · ")),
    ]),
  );
}

function verdict(passed, over) {
  if (passed) return ["good", "✓ verified"];
  if (!over) return ["unsure", "not verified yet"];
  return passed === null ? ["unsure", "? not judged"] : ["bad", "✗ not verified"];
}
