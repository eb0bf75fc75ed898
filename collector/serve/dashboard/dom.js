// Elements. Text is only ever text: nothing here reads markup.

export const $ = (id) => document.getElementById(id);

/** Make an element; properties that begin with "on" are listeners, dashes make attributes, the rest are properties. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A link that leaves this page, or plain text where the address is not http or https. */
export function link(address, text) {
  let url = null;
  try {
    url = new URL(address);
  } catch {
    return document.createTextNode("");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return document.createTextNode("");
  return h("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, text);
}

/** Put children into an element, unless it shows the same content already: a focus in it then stays where it is. */
export function fill(element, content, build) {
  const text = JSON.stringify(content);
  if (element.dataset.shown === text) return;
  element.dataset.shown = text;
  element.replaceChildren(...build());
}

/** The colour that a custom property stands for in the present scheme. */
export function colour(name) {
  const probe = h("span", { class: "probe" });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The same colour, more transparent; *found* is what `colour` gave. */
export function faint(found, alpha) {
  const [r, g, b] = found.match(/[\d.]+/g);
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}
