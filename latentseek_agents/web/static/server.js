// What the page asks of the server: its own routes, and LangGraph's API on the same origin.

/** Something that a person should read; `gone` if the server did not answer at all. */
export class Problem extends Error {
  constructor(message, { gone = false, status = 0 } = {}) {
    super(message);
    this.gone = gone;
    this.status = status;
  }
}

const GONE =
  "The server does not answer. Start it again where you started it (latentseek serve); this page goes on by itself.";

async function request(path, { body, ...options } = {}) {
  if (body !== undefined) {
    options = { method: "POST", ...options, body: JSON.stringify(body) };
    options.headers = { "content-type": "application/json", ...options.headers };
  }
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(GONE, { gone: true });
  }
  if (!response.ok) throw new Problem(await inWords(response), { status: response.status });
  return response;
}

async function inWords(response) {
  const text = await response.text().catch(() => "");
  try {
    const said = JSON.parse(text);
    const detail = said.message ?? said.detail ?? said.error;
    if (typeof detail === "string" && detail) return detail;
  } catch {
    // No JSON: the text itself is what there is to say.
  }
  return text.slice(0, 500) || `The server answered with status ${response.status}.`;
}

const json = async (path, options) => (await request(path, options)).json();

export const settings = () => json("watch/settings");

/** The values of a thread as they are shown. */
export const view = (values, signal) => json("watch/view", { body: values, signal });

export const isThere = () => request("ok").then(() => true, () => false);

export async function thread(id, signal) {
  try {
    return await json(`threads/${id}`, { signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    throw new Problem("The server has no such thread. It was deleted, or asked on a server with another port.");
  }
}

export async function createThread(question) {
  const metadata = { latentseek_question: question.slice(0, 200) };
  return json("threads", { body: { metadata } });
}

export async function earlierThreads() {
  const select = ["thread_id", "status", "metadata", "created_at"];
  const query = { limit: 30, sort_by: "created_at", sort_order: "desc", select };
  const threads = await json("threads/search", { body: query });
  return threads.filter((one) => one.metadata?.latentseek_question).slice(0, 8);
}

/** The thread's latest run, or undefined. */
export async function latestRun(id, signal) {
  return (await json(`threads/${id}/runs?limit=1`, { signal }))[0];
}

/** Why the thread's latest run failed, as far as the server has kept it. */
export async function failure(id, signal) {
  const state = await json(`threads/${id}/state`, { signal });
  const errors = (state.tasks ?? []).map((task) => task.error).filter(Boolean);
  return errors.length ? String(errors[0]) : "";
}

/** Starts a run and yields its events; it goes on without this page. */
export async function* start(id, question, context, signal) {
  const body = {
    assistant_id: "refine",
    input: { question },
    context: { ...context, stream_text: true },
    stream_mode: ["custom", "values"],
    stream_resumable: true,
    on_disconnect: "continue",
  };
  yield* events(await request(`threads/${id}/runs/stream`, { body, signal }));
}

/** The events of a run that goes on, from behind the one with this id; "0" is all of them. */
export async function* join(id, run, last, signal) {
  // Without a stream_mode: that would filter out its errors.
  const headers = { "last-event-id": last };
  yield* events(await request(`threads/${id}/runs/${run}/stream`, { headers, signal }));
}

/** Stops a run, and returns when it has stopped. */
export const cancel = (id, run) =>
  request(`threads/${id}/runs/${run}/cancel?wait=true&action=interrupt`, { method: "POST" });

/** Server-sent events: `{event, data, id}`, with data parsed. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const event = parsed(part);
        if (event) yield event;
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(GONE, { gone: true });
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const fields = { event: "message", data: "", id: null };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment, which keeps the connection alive
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") fields.data += value;
    else if (name in fields) fields[name] = value;
  }
  if (!fields.data) return null;
  return { ...fields, data: JSON.parse(fields.data) };
}
