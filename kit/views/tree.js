// A payload as a tree that opens and shuts. The nodes are those of kit/preview.py; everything is text.

const OPEN_ENTRIES = 12; // a container with more entries than this begins shut
const OPEN_DEPTH = 2;

/** What a container says while it is shut: {3} or [1,000]. */
function sizeText(node) {
  return node.t === "array" ? `[${count(node.n)}]` : `{${count(node.n)}}`;
}

function isContainer(node) {
  return node !== null && typeof node === "object" && (node.t === "object" || node.t === "array");
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
  tree.setAttribute("role", "tree");
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
  row.setAttribute("role", "treeitem");
  const name = make("span", inArray ? "kit-index" : "kit-key", key);
  if (!isContainer(node)) {
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
      inside.setAttribute("role", "group");
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
  if (typeof node === "string") return make("span", "kit-string", JSON.stringify(node));
  if (typeof node !== "object") return make("span", "kit-atom", String(node));
  if (node.t === "media") return make("span", "kit-media-note", node.hidden ?? mediaText(node));
  if (node.t === "number") return make("span", "kit-atom", node.text);
  const whole = make("span", "kit-string");
  const quote = node.t === "string" ? '"' : "";
  const left = node.n - node.head.length - node.tail.length;
  whole.append(quote + node.head);
  if (left > 0) whole.append(make("span", "kit-cut", `… ${count(left)} of ${count(node.n)} characters …`));
  whole.append(node.tail + quote);
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
