// An array of objects that look alike, as a table.

const COLUMNS = 12;
const ROWS_AT_FIRST = 20;
const ROWS_MORE = 200;
const CELL_CHARS = 60;

/** Keys that the objects of an array have in common enough to be columns; null if it is no table. */
function recordColumns(node) {
  if (node.t !== "array" || node.v.length < 2) return null;
  const uses = new Map();
  for (const row of node.v.slice(0, 50)) {
    if (row === null || typeof row !== "object" || row.t !== "object" || !row.n) return null;
    for (const key of row.k) if (typeof key === "string") uses.set(key, (uses.get(key) ?? 0) + 1);
  }
  const rows = Math.min(node.v.length, 50);
  const common = [...uses].filter(([, n]) => n >= rows / 2).map(([key]) => key);
  return common.length && uses.size <= 4 * common.length ? [...uses.keys()] : null;
}

function cellText(node) {
  if (node === undefined) return "";
  if (node === null) return "null";
  if (typeof node === "string") return visible(node.length > CELL_CHARS ? `${node.slice(0, CELL_CHARS - 12)}…${node.slice(-8)}` : node);
  if (typeof node !== "object") return String(node);
  if (isContainer(node)) return sizeText(node);
  if (node.t === "media") return node.hidden ?? mediaText(node);
  return node.t === "number" ? node.text : visible(`${node.head.slice(0, 40)}…`);
}

/** Rows of a branch of the tree as a table; more rows come from the branch. */
class RecordTable {
  constructor(branch, columns) {
    this.branch = branch;
    this.columns = columns.slice(0, COLUMNS);
    this.element = make("div", "kit-table-holder");
    this.table = make("table", "kit-records");
    const head = make("tr");
    head.append(make("th", "kit-index", ""));
    for (const key of this.columns) head.append(make("th", "", key));
    const left = columns.length - this.columns.length;
    if (left) head.append(make("th", "kit-soft", `${plural(left, "more column")}`));
    const top = make("thead");
    top.append(head);
    this.rows = make("tbody");
    this.table.append(top, this.rows);
    this.foot = make("div", "kit-table-foot");
    const box = make("div", "kit-table-box");
    box.append(this.table);
    this.element.append(box, this.foot);
    this.n = 0;
    this.grow(ROWS_AT_FIRST);
  }

  async grow(by) {
    const { branch } = this;
    const end = Math.min(this.n + by, branch.node.n);
    while (this.n < end) {
      const node = branch.nodeAt(this.n);
      if (node === undefined) {
        if (!(await branch.load(this.n))) break;
        continue;
      }
      this.rows.append(this.row(node, this.n));
      this.n += 1;
    }
    this.drawFoot();
  }

  row(node, position) {
    const line = make("tr");
    line.append(make("th", "kit-index", String(position)));
    const { branch } = this;
    for (const key of this.columns) {
      const k = node !== null && typeof node === "object" && node.t === "object" ? node.k.indexOf(key) : -1;
      const value = k < 0 ? undefined : node.v[k];
      const cell = make("td", typeof value === "number" ? "kit-number" : "", cellText(value));
      if (k >= 0 && value !== undefined) cell.kitEntry = { at: [...branch.at, position, k], node: value, path: `${branch.path}[${position}]${label(key)}` };
      line.append(cell);
    }
    return line;
  }

  drawFoot() {
    const left = this.branch.node.n - this.n;
    this.foot.replaceChildren();
    if (left <= 0) return;
    this.foot.append(make("span", "kit-soft", `${count(this.n)} of ${plural(this.branch.node.n, "row")}`));
    const next = button("kit-text-button", `Show ${count(Math.min(left, ROWS_MORE))} more`, () => {
      next.disabled = true;
      this.grow(ROWS_MORE);
    });
    if (this.branch.tree.more || this.branch.nodeAt(this.n) !== undefined) this.foot.append(next);
  }
}
