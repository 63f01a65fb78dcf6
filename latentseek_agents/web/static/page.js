// What the page does: ask, follow a run, stop it, show a past thread.

import * as server from "./server.js";
import { WritingCard, attemptCard, element, markReturned, showResult, showVotes } from "./render.js";

const $ = (id) => document.getElementById(id);
const THREAD_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const SECONDS_BETWEEN_TRIES = 2;

let settings = null;
let current = null; // the search that is shown, if one is

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function say(problem) {
  $("problem").textContent = problem ?? "";
  $("problem").hidden = !problem;
}

function enter(state) {
  document.body.dataset.state = state; // "asking", "running" or "over"
  $("ask").hidden = state !== "asking";
  $("search").hidden = state === "asking";
  $("now").hidden = state !== "running";
}

/** One thread of the server: its question, what is being done, and what was found. */
class Search {
  constructor(id) {
    this.id = id;
    this.leaving = new AbortController();
    this.run = null;
    this.view = null;
    this.cards = [];
    this.writing = null;
    this.latents = new Map(); // the tokens of each iteration; values in a stream name no model to read them by
    this.began = Date.now();
    this.limit = settings.max_iterations;
    this.proposals = settings.proposals;
    this.failed = false;
  }

  get signal() {
    return this.leaving.signal;
  }

  /** Shows the question, and nothing found yet. */
  open(question) {
    enter("running");
    $("asked").textContent = question;
    document.title = `${question.slice(0, 60)} – LatentSeek`;
    $("attempts").replaceChildren();
    this.cards = [];
    for (const id of ["result", "votes", "legend"]) $(id).hidden = true;
    $("stop").disabled = false;
    this.doing("Starting; the first question to a model loads it, which can take minutes");
    clearInterval(Search.ticking);
    Search.ticking = setInterval(() => this.tick(), 1000);
    this.tick();
  }

  tick() {
    const seconds = Math.round((Date.now() - this.began) / 1000);
    const minutes = Math.floor(seconds / 60);
    $("clock").textContent = minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
  }

  doing(words) {
    $("doing").textContent = words;
  }

  ask(question, context) {
    this.open(question);
    this.limit = context.max_iterations;
    this.proposals = context.proposals;
    return this.follow(server.start(this.id, question, context, this.signal));
  }

  /** Shows the thread as the server has it, and follows its run if one goes on. */
  async load() {
    const thread = await server.thread(this.id, this.signal);
    const run = await server.latestRun(this.id, this.signal);
    const values = thread.values ?? {};
    const asked = run?.kwargs?.input?.question ?? values.question ?? thread.metadata?.latentseek_question;
    const context = run?.kwargs?.context ?? {};
    this.limit = context.max_iterations ?? this.limit;
    this.proposals = context.proposals ?? this.proposals;
    const goesOn = run?.status === "pending" || run?.status === "running";
    if (run) this.began = Date.parse(run.created_at) || this.began;
    if ($("search").hidden || $("asked").textContent !== asked) this.open(String(asked ?? "A thread without a question"));
    if (!goesOn) $("attempts").classList.add("still");
    // While it goes on, the run's events from its beginning on say it all.
    if (!goesOn && Array.isArray(values.iterations)) await this.update(values);
    if (!goesOn) return this.end(run);
    this.run = run.run_id;
    return this.follow(server.join(this.id, this.run, "0", this.signal));
  }

  async follow(events) {
    for await (const event of events) await this.take(event);
    if (this.failed) return this.over();
    const run = await server.latestRun(this.id, this.signal);
    if (run && (run.status === "pending" || run.status === "running")) return this.load();
    return this.end(run);
  }

  async take({ event, data }) {
    if (event === "metadata" && data?.run_id) this.run = data.run_id;
    else if (event === "custom") this.announced(data);
    else if (event === "values" && Array.isArray(data?.iterations)) await this.update(data);
    else if (event === "error") this.fail(data?.message ?? data?.error ?? "for a reason that the server does not give");
  }

  announced({ type, step, iteration, text, tokens, latents }) {
    if (type === "latentseek_iteration") this.latents.set(iteration, latents);
    if (type === "latentseek_step") {
      this.doing(this.inWords(step, iteration));
      if (step === "draft" || step === "refine") this.write(iteration);
    } else if (type === "latentseek_text" && this.write(iteration)) {
      this.writing.add(text, tokens);
    }
  }

  inWords(step, iteration) {
    const moves = this.proposals === "latents";
    const name = iteration === 0 ? "the draft" : `attempt ${iteration}`;
    if (step === "draft") return "Writing the draft";
    if (step === "judge") return `Checking ${name}`;
    if (step === "prepare") {
      const program = settings.verifier.includes("program");
      return program ? "Writing a program for the question, to check with" : "Preparing the checks";
    }
    return `${moves ? "Moving the latents, writing" : "Writing"} attempt ${iteration} of at most ${this.limit}`;
  }

  /** The card for an iteration that is being written, or null if it was judged already. */
  write(iteration) {
    const judged = this.view?.attempts.at(-1)?.iteration ?? -1;
    if (iteration <= judged) return null;
    if (this.writing?.iteration !== iteration) {
      this.writing?.element.remove();
      this.writing = new WritingCard(iteration, iteration > 0 && this.proposals === "latents");
      $("attempts").append(this.writing.element);
    }
    return this.writing;
  }

  async update(values) {
    const view = await server.view(values, this.signal);
    for (const attempt of view.attempts) {
      const told = this.latents.get(attempt.iteration);
      if (!attempt.latents.length && told?.length === attempt.latent_count) attempt.latents = told;
    }
    if (view.attempts.length < this.cards.length) {
      for (const card of this.cards.splice(0)) card.remove();
    }
    this.view = view;
    const last = view.attempts.at(-1)?.iteration ?? -1;
    if (this.writing && this.writing.iteration <= last) {
      this.writing.element.remove();
      this.writing = null;
    }
    const fresh = view.attempts.slice(this.cards.length).map((attempt) => attemptCard(attempt, { open: true }));
    if (fresh.length) this.fold(this.cards);
    for (const card of fresh) {
      card.querySelector("summary").addEventListener("click", () => card.classList.add("kept"));
      this.cards.push(card);
      if (this.writing) this.writing.element.before(card);
      else $("attempts").append(card);
    }
    this.show(false);
  }

  /** Closes cards that nobody has opened or closed by hand. */
  fold(cards) {
    for (const card of cards) if (!card.classList.contains("kept")) card.open = false;
  }

  show(over, stopped = "") {
    if (!this.view) return;
    this.view.attempts.forEach((attempt, place) => markReturned(this.cards[place], attempt.returned, over));
    showVotes($("votes"), this.view.votes);
    showResult($("result"), this.view, { over, stopped });
    $("legend").hidden = !this.view.attempts.some((one) => one.pieces.some((piece) => piece.status));
  }

  fail(message) {
    this.failed = true;
    say(`The search failed: ${message}`);
  }

  async end(run) {
    const ended = this.view?.stop_reason;
    let stopped = "";
    if (!ended && run?.status === "error" && !this.failed) {
      const reason = await server.failure(this.id, this.signal).catch(() => "");
      this.fail(reason || "the server's log says why");
    } else if (!ended && !this.failed) {
      stopped = "The search was stopped before it had ended.";
      if (!this.view?.attempts.length) say(`${stopped} No attempt was finished.`);
    }
    this.over(stopped);
  }

  over(stopped = "") {
    clearInterval(Search.ticking);
    this.writing?.element.classList.add("left");
    this.fold(this.cards.filter((_, place) => !this.view.attempts[place].returned));
    this.cards.forEach((card, place) => {
      if (this.view.attempts[place].returned && !card.classList.contains("kept")) card.open = true;
    });
    this.show(true, stopped);
    this.doing("");
    enter("over");
  }

  async stop() {
    if (document.body.dataset.state !== "running" || $("stop").disabled) return;
    $("stop").disabled = true;
    this.doing("Stopping");
    try {
      this.run ??= (await server.latestRun(this.id, this.signal))?.run_id;
      if (this.run) await server.cancel(this.id, this.run);
    } catch (error) {
      $("stop").disabled = false;
      report(error);
    }
  }

  leave() {
    clearInterval(Search.ticking);
    this.leaving.abort();
  }
}

/** Does something that may fail; while the server is gone, waits for it and goes on. */
async function attempt(work, search) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError" || search.signal.aborted) return;
    report(error);
    if (!error.gone) return search.over();
    await pause(SECONDS_BETWEEN_TRIES);
    while (!search.signal.aborted && !(await server.isThere())) await pause(SECONDS_BETWEEN_TRIES);
    if (search.signal.aborted) return;
    say(null);
    await attempt(() => search.load(), search);
  }
}

function report(error) {
  if (!(error instanceof server.Problem)) console.error(error);
  say(error instanceof server.Problem ? error.message : `This page has an error of its own: ${error.message}`);
}

function whole(id, name, { least, optional = false }) {
  const field = $(id);
  const text = field.value.trim();
  if (!text && !field.validity.badInput && optional) return null;
  const number = Number(text);
  if (!text || !Number.isInteger(number) || number < least) {
    field.focus();
    throw new server.Problem(`“${name}” must be a whole number, at least ${least}${optional ? ", or empty" : ""}.`);
  }
  return number;
}

function asked() {
  const question = $("question").value.trim();
  const longest = settings.longest_question;
  if (!question) throw new server.Problem("There is no question yet. Write one above, or take an example.");
  if (question.length > longest) {
    throw new server.Problem(
      `The question has ${question.length.toLocaleString("en")} characters, and at most ` +
        `${longest.toLocaleString("en")} are taken. Shorten it.`,
    );
  }
  const context = {
    model: $("model").value,
    proposals: $("proposals").value,
    max_iterations: whole("max-iterations", "At most, after the draft", { least: 0 }),
    max_new_tokens: whole("max-new-tokens", "Tokens each", { least: 1 }),
  };
  const seconds = whole("max-seconds", "Seconds in all", { least: 1, optional: true });
  if (seconds !== null) context.max_seconds = seconds;
  return { question, context };
}

async function submit(event) {
  event?.preventDefault();
  if ($("send").disabled) return;
  say(null);
  $("send").disabled = true;
  try {
    const { question, context } = asked();
    const { thread_id: id } = await server.createThread(question);
    history.pushState(null, "", `?thread=${id}`);
    current = new Search(id);
    const search = current;
    $("attempts").classList.remove("still");
    attempt(() => search.ask(question, context), search);
    $("stop").focus();
  } catch (error) {
    report(error);
    $("question").focus();
  } finally {
    $("send").disabled = false;
  }
}

async function listEarlier() {
  const threads = await server.earlierThreads().catch(() => []);
  $("earlier").hidden = !threads.length;
  const items = threads.map((thread) => {
    const link = element("a", { href: `watch?thread=${thread.thread_id}` }, thread.metadata.latentseek_question);
    link.addEventListener("click", (event) => go(event, link.href));
    return element("li", {}, link, thread.status === "busy" ? element("span", { className: "soft" }, "running") : null);
  });
  $("earlier").querySelector("ol").replaceChildren(...items);
}

function go(event, address) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) return;
  event.preventDefault();
  history.pushState(null, "", address);
  route();
}

/** Shows what the address says: a thread, or the form. */
function route() {
  current?.leave();
  current = null;
  say(null);
  const id = new URLSearchParams(location.search).get("thread");
  if (id === null) {
    enter("asking");
    document.title = "LatentSeek";
    $("question").focus();
    listEarlier();
  } else if (!THREAD_ID.test(id)) {
    enter("asking");
    say("This link names no thread: what stands behind “thread=” is not the id of one.");
  } else {
    const search = new Search(id);
    current = search;
    attempt(() => search.load(), search);
  }
}

function fill() {
  const options = settings.models.map(({ name, label }) => element("option", { value: name, title: name }, label));
  $("model").replaceChildren(...options);
  $("proposals").value = settings.proposals;
  $("max-iterations").value = settings.max_iterations;
  $("max-new-tokens").value = settings.max_new_tokens;
  $("max-seconds").value = settings.max_seconds ?? "";
}

function listen() {
  $("ask").addEventListener("submit", submit);
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  for (const button of document.querySelectorAll(".suggestions button")) {
    button.addEventListener("click", () => {
      $("question").value = button.textContent;
      $("question").focus();
    });
  }
  $("stop").addEventListener("click", () => current?.stop());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") current?.stop();
  });
  for (const id of ["home", "another"]) $(id).addEventListener("click", (event) => go(event, $(id).href));
  addEventListener("popstate", route);
}

async function begin() {
  while (settings === null) {
    try {
      settings = await server.settings();
    } catch (error) {
      report(error);
      await pause(SECONDS_BETWEEN_TRIES);
    }
  }
  fill();
  listen();
  route();
}

begin();
