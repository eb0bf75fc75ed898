// The JSON API of this server.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const token = () => sessionStorage.getItem("token");
export const keepToken = (text) => sessionStorage.setItem("token", text);

function headers(more = {}) {
  return token() ? { ...more, Authorization: `Bearer ${token()}` } : more;
}

function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) query.append(name, each);
  }
  return `/api/v1/${path}${query.size ? `?${query}` : ""}`;
}

async function checked(response) {
  if (response.ok) return response;
  let message = response.statusText || `HTTP ${response.status}`;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // not ours: the status has to do
  }
  throw new Refused(response.status, message);
}

export async function get(path, parameters, signal) {
  return (await checked(await fetch(address(path, parameters), { headers: headers(), signal }))).json();
}

export async function getText(path, parameters) {
  return (await checked(await fetch(address(path, parameters), { headers: headers() }))).text();
}

export async function post(path, body) {
  const sent = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) };
  return (await checked(await fetch(address(path), sent))).json();
}
