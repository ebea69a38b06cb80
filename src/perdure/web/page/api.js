/** Requests to the service: JSON in, JSON out, errors as `Problem`. */

import { BASE, token } from "./token.js";

/** What the service refused, or that it could not be reached (status 0). */
export class Problem extends Error {
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    Object.assign(this, { status, detail, retryAfter });
  }
}

let askForToken = async () => {
  throw new Problem(401, "a token is needed");
};

/** Say what asks the person for a token; it resolves when there is another one. */
export function onUnknown(ask) {
  askForToken = ask;
}

/** Return the address of a path of the service */
export function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [name, value] of query instanceof URLSearchParams ? query : Object.entries(query)) {
    if (value != null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Return the path of a run; an own id is no input's */
export function runPath(id) {
  return `/runs/${encodeURIComponent(/^r[1-9a-f][\da-f]*$/.test(id) ? `run:${id}` : id)}`;
}

/** Send a request with the token, asking for another where that is refused; throws a Problem. */
export async function send(url, options = {}) {
  for (;;) {
    const used = token();
    const headers = { ...options.headers };
    if (used) headers.Authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(url, { ...options, headers, credentials: "omit", cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "the service does not answer: is it running?");
    }
    if (response.ok) return response;
    const problem = await problemIn(response);
    if (problem.status !== 401) throw problem;
    if (used === token()) await askForToken(used ? problem.detail : "");
  }
}

async function problemIn(response) {
  let detail = "";
  try {
    detail = (await response.json()).detail;
  } catch {
    // A proxy's answer, perhaps: the status says what there is to say.
  }
  const after = Number(response.headers.get("Retry-After")) || 0;
  return new Problem(response.status, detail || `HTTP ${response.status}`, after);
}

export const api = {
  async get(path, query = {}, { signal } = {}) {
    return (await send(address(path, query), { signal })).json();
  },

  async post(path, body = {}, { signal } = {}) {
    const headers = { "Content-Type": "application/json" };
    const options = { method: "POST", headers, body: JSON.stringify(body), signal };
    return (await send(address(path), options)).json();
  },
};
