// The JSON API of this server.

/** Where the server's paths begin, as they are seen from the browser: with the base path of a reverse proxy. */
export const ROOT = new URL("../", import.meta.url).pathname;

const routes = new Set((document.documentElement.dataset.routes ?? "").split(" "));
/** Whether this server has a route of `/api/v1`. */
export const has = (name) => routes.has(name);

/** *sent* is the token of the request, null without one. */
export class Refused extends Error {
  constructor(status, message, sent) {
    super(message);
    this.status = status;
    this.sent = sent;
  }
}

const token = () => sessionStorage.getItem("token");
export const hasToken = (text) => token() === text;
export const keepToken = (text) => sessionStorage.setItem("token", text);

function headers(more = {}) {
  return token() ? { ...more, Authorization: `Bearer ${token()}` } : more;
}

function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) query.append(name, each);
  }
  return `${ROOT}api/v1/${path}${query.size ? `?${query}` : ""}`;
}

/** Send a request and check its status. The error belongs to the token that was sent, even if there is a new one now. */
async function send(path, parameters, more = {}) {
  const sent = token();
  const response = await fetch(address(path, parameters), { ...more, headers: headers(more.headers) });
  if (response.ok) return response;
  let message = response.statusText || `HTTP ${response.status}`;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // not ours: the status has to do
  }
  throw new Refused(response.status, message, sent);
}

export async function get(path, parameters, signal) {
  return (await send(path, parameters, { signal })).json();
}

/** Read all pages of a list. */
export async function getAll(path, name, parameters, signal) {
  const all = [];
  let after;
  do {
    const page = await get(path, { limit: 1000, ...parameters, after }, signal);
    all.push(...page[name]);
    after = page.next ?? undefined;
  } while (after);
  return all;
}

export async function getText(path, parameters) {
  return (await send(path, parameters)).text();
}

export const post = (path, body) => change("POST", path, body);
export const remove = (path) => change("DELETE", path, {});

async function change(method, path, body) {
  const more = { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return (await send(path, {}, more)).json();
}
