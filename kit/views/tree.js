// A payload as a tree that opens and shuts. The nodes are those of kit/preview.py; everything is text.

const OPEN_ENTRIES = 12; // a container with more entries than this begins shut
const OPEN_DEPTH = 2;
const SHORT_HEAD = 240; // of a long string, until it is clicked
const SHORT_TAIL = 40;

/** What a container says while it is shut: {3} or [1,000]. */
function sizeText(node) {
  return node.t === "array" ? `[${count(node.n)}]` : `{${count(node.n)}}`;
}

function isContainer(node) {
  return node !== null && typeof node === "object" && (node.t === "object" || node.t === "array");
}

/** A short list of numbers reads best in one line. */
function isShortNumbers(node) {
  return node.t === "array" && node.n === node.v.length && node.n > 0 && node.n <= 24 && node.v.every((v) => typeof v === "number");
}

/** A key is a string, or a string node if it is long. */
function keyText(key) {
  return typeof key === "string" ? key : `${key.head}…${key.tail}`;
}

/**
 * Element of a tree.
 *
 * @param node root node of a preview
 * @param more (at, start) -> asks for entries that were left out; null if that is not possible
 */
function treeElement(node, more = null) {
  const tree = make("div", "kit-tree");
  tree.append(...(isContainer(node) ? entries(node, 0, [], more) : [valueElement(node)]));
  if (isContainer(node) && node.n === 0) tree.append(make("span", "kit-soft", node.t === "array" ? "[ ] empty" : "{ } empty"));
  return tree;
}

function entries(node, depth, at, more) {
  const first = node.start ?? 0;
  const rows = node.v.map((child, k) => {
    const key = node.t === "object" ? keyText(node.k[k]) : String(first + k);
    return entry(key, child, depth, [...at, first + k], node.t === "array", more);
  });
  const left = node.n - first - node.v.length;
  if (left > 0) rows.push(leftOut(node, left, first + node.v.length, depth, at, more));
  return rows;
}

function leftOut(node, left, start, depth, at, more) {
  const text = `${count(left)} more ${node.t === "array" ? "items" : "entries"}`;
  if (!more) return make("div", "kit-soft kit-entry", text);
  const holder = make("div", "kit-entry");
  const ask = button("kit-more", text, () => {
    ask.disabled = true;
    more(at, start, (next) => {
      if (isContainer(next)) holder.replaceWith(...entries(next, depth, at, more));
      else ask.disabled = false;
    });
  });
  holder.append(ask);
  return holder;
}

function entry(key, node, depth, at, inArray, more) {
  const row = make("div", "kit-entry");
  const name = make("span", inArray ? "kit-index" : "kit-key", key);
  if (!isContainer(node) || isShortNumbers(node)) {
    row.append(name, valueElement(node));
    return row;
  }
  const toggle = button("kit-toggle", "", () => set(toggle.getAttribute("aria-expanded") !== "true"));
  toggle.append(make("span", "kit-arrow"), name, make("span", "kit-soft", sizeText(node)));
  row.append(toggle);
  let inside = null;
  const set = (open) => {
    toggle.setAttribute("aria-expanded", String(open));
    row.classList.toggle("kit-open", open);
    if (open && !inside) {
      inside = make("div", "kit-inside");
      inside.append(...entries(node, depth + 1, at, more));
      if (!node.n) inside.append(make("span", "kit-soft", "empty"));
      row.append(inside);
    }
    if (inside) inside.hidden = !open;
  };
  set(depth < OPEN_DEPTH && node.n <= OPEN_ENTRIES && node.n > 0);
  return row;
}

function valueElement(node) {
  if (node === null) return make("span", "kit-atom", "null");
  if (typeof node === "string") {
    if (node.length <= SHORT_HEAD + SHORT_TAIL + 40) return make("span", "kit-string", JSON.stringify(node));
    const half = Math.ceil(node.length / 2);
    return longText(node.slice(0, half), node.slice(half), node.length, '"');
  }
  if (typeof node !== "object") return make("span", "kit-atom", String(node));
  if (node.t === "array") return make("span", "kit-atom", `[${node.v.join(", ")}]`);
  if (node.t === "media") return make("span", "kit-media-note", node.hidden ?? mediaText(node));
  if (node.t === "number") return make("span", "kit-atom", node.text);
  return longText(node.head, node.tail, node.n, node.t === "string" ? '"' : "");
}

/** A long string without its middle; a click shows all of it that is here. */
function longText(head, tail, n, quote) {
  const whole = make("span", "kit-string");
  const fill = (start, end) => {
    const left = n - start.length - end.length;
    const cut = `… ${count(left)} of ${count(n)} characters …`;
    const more = start.length < head.length || end.length < tail.length;
    const middle = more ? button("kit-cut", cut, () => fill(head, tail)) : make("span", "kit-cut", cut);
    whole.replaceChildren(quote + start, ...(left > 0 ? [middle] : []), end + quote);
  };
  fill(head.slice(0, SHORT_HEAD), tail.slice(-SHORT_TAIL));
  return whole;
}

/** "PNG 512 x 512, 402 kB". */
function mediaText(node) {
  const kind = { "image/jpeg": "JPEG", "audio/mpeg": "MP3" }[node.mime] ?? node.mime.split("/")[1].toUpperCase();
  const size = node.width ? ` ${node.width} x ${node.height}` : "";
  const long = node.duration_s ? ` ${duration(node.duration_s * 1000)}` : "";
  return `${kind}${size}${long}, ${bytes(node.bytes)}`;
}

/** Media nodes of a tree in reading order, at most so many: [{node, key}]. */
function mediaIn(root, limit = 6) {
  const found = [];
  const visit = (node, key) => {
    if (found.length >= limit || node === null || typeof node !== "object") return;
    if (node.t === "media") found.push({ node, key });
    else if (isContainer(node)) node.v.forEach((child, k) => visit(child, node.t === "object" ? keyText(node.k[k]) : key));
  };
  visit(root, "");
  return found;
}
