// A payload as a tree that opens and shuts. The nodes are those of kit/preview.py; everything is text.

const OPEN_ENTRIES = 12; // a container with more entries than this begins shut
const OPEN_DEPTH = 2;
const DEEP = 9; // levels that are set in; deeper ones say how deep they are
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

/** One step of a path: [3], .name or ["a b"]. */
function label(key) {
  if (typeof key === "number") return `[${key}]`;
  return /^[A-Za-z_]\w{0,39}$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** Text in which what would turn or hide the text around it is written as JSON writes it. */
function visible(text) {
  return text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069\u0080-\u009f\ufeff\ud800-\udfff]/gu, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
}

function treeElement(node, more = null) {
  return new Tree(node, more).element;
}

class Tree {
  /**
   * @param node root node of a preview
   * @param more (at, start, done) -> asks for entries that were left out; null if that is not possible
   * @param source {board, what, key} where bytes and text of it can be asked for; null if nowhere
   */
  constructor(node, more = null, source = null) {
    this.more = more;
    this.source = source;
    this.element = make("div", "kit-tree");
    this.element.setAttribute("role", "tree");
    this.root = isContainer(node) ? new Branch(this, node, [], "$", 0, this.element) : null;
    if (this.root) this.root.show();
    else {
      const row = make("div", "kit-entry kit-alone");
      row.kitEntry = { at: [], node, path: "$" };
      row.append(valueElement(node, this, []));
      if (node?.why) row.append(make("div", "kit-soft", node.why));
      this.element.append(row);
    }
    if (this.root && node.n === 0) this.element.append(make("span", "kit-soft", node.t === "array" ? "[ ] empty" : "{ } empty"));
    this.actions = source ? new RowActions(this) : null;
  }

  /** Open what lies on the way to a place and return its row; null if it cannot be had. */
  async reveal(at) {
    let branch = this.root;
    let row = null;
    for (const position of at) {
      if (!branch) return row;
      branch.showTree();
      row = branch.rows.get(position);
      if (!row && (await branch.load(position))) row = branch.rows.get(position);
      if (!row) return null;
      row.kitOpen?.(true);
      branch = row.kitBranch ?? null;
    }
    return row ?? this.element.firstChild;
  }

  changed() {
    this.onChange?.();
  }
}

/** The inside of one container: rows, and gaps where entries were left out. */
class Branch {
  constructor(tree, node, at, path, depth, holder) {
    Object.assign(this, { tree, node, at, path, depth, holder });
    this.rows = new Map();
    this.nodes = new Map();
    this.list = null;
    this.columns = recordColumns(node);
  }

  show() {
    if (this.depth > DEEP) this.holder.append(make("div", "kit-soft kit-depth", `level ${count(this.depth)}`));
    if (this.depth === 0 && this.node.line) this.holder.append(sparkline(this.node.line));
    if (this.columns && (this.tree.source || this.tree.more)) {
      this.keep(this.node, this.node.start ?? 0, this.node.n);
      const toggle = button("kit-text-button", "As a tree", () => (this.table.element.hidden ? this.showTable() : this.showTree()));
      this.toggle = toggle;
      this.table = new RecordTable(this, this.columns);
      this.holder.append(toggle, this.table.element);
      return;
    }
    this.makeList();
  }

  showTable() {
    this.table.element.hidden = false;
    this.list.hidden = true;
    say(this.toggle, "As a tree");
  }

  /** Rows instead of the table, if it is shown. */
  showTree() {
    if (!this.list) this.makeList();
    if (!this.table) return;
    this.table.element.hidden = true;
    this.list.hidden = false;
    say(this.toggle, "As a table");
  }

  makeList() {
    this.list = make("div", "kit-rows");
    const first = this.node.start ?? 0;
    this.list.append(...this.piece(this.node, first, this.node.n));
    if (first) this.list.prepend(this.gap(0, first));
    this.holder.append(this.list);
  }

  nodeAt(position) {
    return this.nodes.get(position);
  }

  keep(node, start, end) {
    node.v.slice(0, end - start).forEach((child, k) => this.nodes.set(start + k, child));
  }

  /** Rows of a node's entries from a position, and the gap that follows up to an end. */
  piece(node, start, end) {
    this.keep(node, start, end);
    const rows = node.v.slice(0, end - start).map((child, k) => {
      const key = this.node.t === "object" ? keyText(node.k[k]) : start + k;
      const row = entryRow(this, key, child, start + k);
      this.rows.set(start + k, row);
      return row;
    });
    const next = start + rows.length;
    return next < end ? [...rows, this.gap(next, end)] : rows;
  }

  gap(from, to) {
    const text = `${count(to - from)} more ${this.node.t === "array" ? "items" : "entries"}`;
    const holder = make("div", "kit-soft kit-gap");
    holder.kitGap = { from, to };
    if (!this.tree.more) {
      holder.append(text);
      return holder;
    }
    const next = button("kit-more", text, () => {
      next.disabled = true;
      this.load(from);
    });
    holder.append(next);
    return holder;
  }

  /** Have the entry at a position and some after it; false if they cannot be had. */
  load(position) {
    if (!this.tree.more) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.tree.more(this.at, position, (next) => {
        if (!isContainer(next) || !next.v.length) return resolve(false);
        if (this.list) this.insert(next, position);
        else this.keep(next, position, this.node.n);
        this.tree.changed();
        return resolve(true);
      });
    });
  }

  insert(next, position) {
    const gap = [...this.list.children].find((one) => one.kitGap && one.kitGap.from <= position && position < one.kitGap.to);
    if (!gap) return this.keep(next, position, this.node.n);
    const { from, to } = gap.kitGap;
    const before = from < position ? [this.gap(from, position)] : [];
    return gap.replaceWith(...before, ...this.piece(next, position, to));
  }
}

function entryRow(branch, key, node, position) {
  const { tree, depth } = branch;
  const row = make("div", "kit-entry");
  const at = [...branch.at, position];
  row.kitEntry = { at, node, path: branch.path + label(key) };
  row.setAttribute("role", "treeitem");
  row.setAttribute("aria-level", String(depth + 1));
  row.tabIndex = -1;
  const name = make("span", typeof key === "number" ? "kit-index" : "kit-key", typeof key === "number" ? String(key) : visible(key));
  if (!isContainer(node) || isShortNumbers(node)) {
    row.append(name, valueElement(node, tree, at));
    return row;
  }
  const toggle = button("kit-toggle", "", () => row.kitOpen(row.getAttribute("aria-expanded") !== "true"));
  toggle.tabIndex = -1;
  toggle.append(make("span", "kit-arrow"), name, make("span", "kit-soft", sizeText(node)));
  row.append(toggle);
  if (node.line) row.append(sparkline(node.line));
  row.kitOpen = (open) => {
    row.setAttribute("aria-expanded", String(open));
    row.classList.toggle("kit-open", open);
    if (open && !row.kitBranch) {
      const inside = make("div", depth < DEEP ? "kit-inside" : "kit-inside kit-deep");
      row.kitBranch = new Branch(tree, node, at, row.kitEntry.path, depth + 1, inside);
      row.kitBranch.show();
      if (!node.n) inside.append(make("span", "kit-soft", "empty"));
      row.append(inside);
    }
    if (row.kitBranch) row.kitBranch.holder.hidden = !open;
    tree.changed();
  };
  row.kitOpen(depth < OPEN_DEPTH && node.n <= OPEN_ENTRIES && node.n > 0);
  return row;
}

function valueElement(node, tree = null, at = []) {
  if (node === null) return make("span", "kit-atom", "null");
  if (typeof node === "string") {
    const text = visible(JSON.stringify(node));
    if (tree?.source && isAddress(node)) return addressElement(node, text);
    if (node.length <= SHORT_HEAD + SHORT_TAIL + 40) return make("span", "kit-string", text);
    const half = Math.ceil(node.length / 2);
    return longText(node.slice(0, half), node.slice(half), node.length, '"');
  }
  if (typeof node !== "object") return make("span", "kit-atom", String(node));
  if (node.t === "array") return make("span", "kit-atom", `[${node.v.join(", ")}]`);
  if (node.t === "media") return make("span", "kit-media-note", node.hidden ?? mediaText(node));
  if (node.t === "number") return make("span", "kit-atom", node.text);
  return longText(node.head, node.tail, node.n, node.t === "string" ? '"' : "", tree, at);
}

/** A long string without its middle; a click shows all of it that is here, then the rest as it comes. */
function longText(head, tail, n, quote, tree = null, at = []) {
  const whole = make("span", "kit-string");
  const fill = (start, end) => {
    const left = n - start.length - end.length;
    const cut = `… ${count(left)} of ${count(n)} characters …`;
    const here = start.length < head.length || end.length < tail.length;
    const all = () => whole.replaceChildren(new RawView(tree.source, at, n).element);
    let middle = make("span", "kit-cut", cut);
    if (here) middle = button("kit-cut", cut, () => fill(head, tail));
    else if (tree?.source) middle = button("kit-cut", cut, all);
    whole.replaceChildren(quote + visible(start), ...(left > 0 ? [middle] : []), visible(end) + quote);
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
