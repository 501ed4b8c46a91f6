// Which jobs a person wants to see. Others stay in the lanes, faint, so that what ran beside is not
// lost. The filter lives in the page with its card: a re-run keeps it, and no notebook ever holds it.

const FIND_AFTER_MS = 250; // typing pauses this long before the kernel is asked
const FIND_AT_LEAST = 2; // characters

class Filter {
  constructor(board) {
    this.board = board;
    this.states = new Set(); // codes; none: all
    this.handler = "";
    this.version = 0; // 0: all
    this.target = "";
    this.text = "";
    this.found = new Set(); // jobs whose payloads, logs or errors hold the text, as the kernel says
    this.more = false; // it stopped looking: there are too many
    this.searching = false;
    this.active = false;
    this.match = new Uint8Array(256);
    this.shown = 0;
    this.passed = new Array(STATES.length).fill(0); // by state, of jobs that everything but the choice of states lets through
    this.orders = new Map(); // LaneOrder -> LaneOrder of those that match
  }

  set(change) {
    const text = this.text;
    Object.assign(this, change);
    if (this.text !== text) this.ask();
    this.changed();
  }

  changed() {
    this.apply();
    this.board.look_at();
    this.board.changed("filter");
  }

  toggleState(state) {
    const states = new Set(this.states);
    if (!states.delete(state)) states.add(state);
    this.set({ states });
  }

  clear() {
    this.set({ states: new Set(), handler: "", version: 0, target: "", text: "" });
  }

  /** Have the kernel look into payloads, once typing pauses. */
  ask() {
    clearTimeout(this.timer);
    this.found = new Set();
    this.more = false;
    this.searching = this.text.trim().length >= FIND_AT_LEAST;
    if (!this.searching) return;
    this.timer = setTimeout(() => this.board.send({ t: "find", q: this.text.trim() }), FIND_AFTER_MS);
  }

  hear(content) {
    if (content.q !== this.text.trim()) return; // of what was typed before
    this.searching = false;
    this.found = new Set(content.i);
    this.more = content.more;
    this.changed();
  }

  /** Work out anew which jobs match. */
  apply() {
    const { jobs, names } = this.board;
    this.active = this.states.size > 0 || Boolean(this.handler || this.version || this.target || this.text.trim());
    this.orders.clear();
    if (!this.active) {
      this.shown = jobs.n;
      return;
    }
    this.passed.fill(0);
    if (this.match.length < jobs.n) this.match = new Uint8Array(jobs.room);
    // a name that is not there (any more) matches nothing
    const handler = this.handler ? names.handlers.indexOf(this.handler) : -2;
    const target = this.target ? names.targets.indexOf(this.target) : -2;
    const words = wanted(this.text, names);
    let shown = 0;
    for (let i = 0; i < jobs.n; i += 1) {
      const rest = (handler === -2 || jobs.handler[i] === handler)
        && (target === -2 || jobs.target[i] === target)
        && (!this.version || jobs.version[i] === this.version)
        && (!words || this.found.has(i) || words.handlers.has(jobs.handler[i]) || words.targets.has(jobs.target[i]) || idHolds(jobs, i, words.bytes));
      if (rest) this.passed[jobs.state[i]] += 1;
      this.match[i] = rest && (!this.states.size || this.states.has(jobs.state[i])) ? 1 : 0;
      shown += this.match[i];
    }
    this.shown = shown;
  }

  /** Jobs by state: what a click on a state would show. */
  get counts() {
    return this.active ? this.passed : this.board.jobs.counts;
  }

  has(i) {
    return !this.active || this.match[i] === 1;
  }

  /** The job submitted last among those shown; of all if none is; -1 if there is none at all. */
  latest() {
    const { jobs } = this.board;
    if (this.active) for (let i = jobs.n - 1; i >= 0; i -= 1) if (this.match[i]) return i;
    return jobs.latest();
  }

  /** The matching jobs of a lane, in order. */
  lane(lane) {
    if (!this.active) return lane;
    let order = this.orders.get(lane);
    if (order) return order;
    order = new LaneOrder(lane.session, lane.slot);
    order.list = new Int32Array(Math.max(1, lane.n));
    order.odd = new Int32Array(order.list.length + 1);
    for (let k = 0; k < lane.n; k += 1) {
      const i = lane.list[k];
      if (this.match[i]) order.list[order.n++] = i;
    }
    this.orders.set(lane, order);
    return order;
  }
}

/** A text as what it can match at once: bytes of an id, names. Null if there is none. */
function wanted(text, names) {
  const lower = text.trim().toLowerCase();
  if (!lower) return null;
  const codes = (list) => new Set(list.map((name, k) => (name.toLowerCase().includes(lower) ? k : -1)).filter((k) => k >= 0));
  return { bytes: new TextEncoder().encode(lower), handlers: codes(names.handlers), targets: codes(names.targets) };
}

/** Whether the id of a job holds some bytes, capitals or not. */
function idHolds(jobs, i, bytes) {
  const { ids } = jobs;
  const end = (i + 1) * ID_BYTES - bytes.length;
  for (let at = i * ID_BYTES; at <= end; at += 1) {
    let k = 0;
    for (; k < bytes.length; k += 1) {
      const byte = ids[at + k];
      if ((byte >= 65 && byte <= 90 ? byte + 32 : byte) !== bytes[k]) break;
    }
    if (k === bytes.length) return true;
  }
  return false;
}

/** The row with the fields of the filter, below the summary. */
class FilterBand {
  constructor(board) {
    this.board = board;
    this.open = false;
    this.element = make("div", "kit-filter");
    this.element.setAttribute("role", "search");
    this.element.setAttribute("aria-label", "Filter jobs");
    this.element.hidden = true;
    this.element.setAttribute("data-lm-suppress-shortcuts", "true");
    this.text = make("input", "kit-filter-field kit-filter-text");
    this.text.type = "search";
    this.text.placeholder = "Text in ids, inputs, outputs, logs";
    this.text.title = "Looked at are ids, inputs, outputs, chunks, logs, findings and errors; payloads over 256 kB are left out";
    this.text.setAttribute("aria-label", "Text in ids, inputs, outputs, logs and errors");
    this.text.addEventListener("input", () => board.filter.set({ text: this.text.value }));
    this.state = this.choice("state", (value) => ({ states: new Set(value === "" ? [] : [Number(value)]) }));
    this.handler = this.choice("handler", (value) => ({ handler: value }));
    this.version = this.choice("version", (value) => ({ version: Number(value) }));
    this.target = this.choice("target", (value) => ({ target: value }));
    this.count = make("span", "kit-filter-count kit-soft");
    this.count.setAttribute("role", "status");
    this.clear = button("kit-tool", "Clear", () => board.filter.clear());
    this.element.append(this.text, this.state, this.handler, this.version, this.target, this.count, this.clear);
    // on the window and before anybody else: JupyterLab takes escape and single keys for its own
    this.onKey = (event) => this.key(event);
    window.addEventListener("keydown", this.onKey, true);
    this.shortcut = button("kit-tool", "Filter", () => this.toggle());
    this.shortcut.title = "Show only some jobs (/)";
    this.draw();
  }

  choice(what, change) {
    const select = make("select", "kit-filter-field");
    select.setAttribute("aria-label", `Only this ${what}`);
    select.addEventListener("change", () => this.board.filter.set(change(select.value)));
    return select;
  }

  stop() {
    window.removeEventListener("keydown", this.onKey, true);
  }

  key(event) {
    if (!this.element.contains(document.activeElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopImmediatePropagation();
    if (event.key !== "Escape") return;
    event.preventDefault();
    if (this.board.filter.active) this.board.filter.clear();
    else this.close();
  }

  toggle() {
    if (this.open) this.close();
    else this.show();
  }

  show() {
    this.open = true;
    this.draw();
    this.text.focus();
  }

  close() {
    this.open = false;
    if (this.board.filter.active) this.board.filter.clear();
    this.draw();
    this.onClose?.();
  }

  draw() {
    const { filter, jobs, names, panel } = this.board;
    this.open ||= filter.active; // by a click on a count, or in another view of this card
    this.element.hidden = !this.open;
    this.shortcut.setAttribute("aria-pressed", String(!this.element.hidden));
    if (this.element.hidden) return;
    if (this.text.value !== filter.text) this.text.value = filter.text;
    const states = SUMMARY_STATES.filter(([state]) => filter.counts[state] || filter.states.has(state));
    const one = filter.states.size === 1 ? String([...filter.states][0]) : filter.states.size ? "several" : "";
    this.fill(this.state, "any state", states.map(([state, word]) => [String(state), word]), one);
    this.fill(this.handler, "any handler", [...names.handlers].sort().map((name) => [name, name]), filter.handler);
    this.handler.hidden = !panel;
    this.fill(this.version, "any version", this.versions().map((v) => [String(v), `v${v}`]), filter.version ? String(filter.version) : "");
    this.fill(this.target, "any target", [...names.targets].sort().map((name) => [name, name]), filter.target);
    const looking = filter.searching ? ", looking into payloads" : filter.more ? ", the newest matches only" : "";
    say(this.count, `${count(filter.active ? filter.shown : jobs.n)} of ${count(jobs.n)} shown${looking}`);
    this.clear.disabled = !filter.active;
  }

  versions() {
    const { jobs } = this.board;
    if (this.versionsOf !== jobs.revision) {
      const seen = new Set();
      for (let i = 0; i < jobs.n; i += 1) seen.add(jobs.version[i]);
      this.seenVersions = [...seen].sort((a, b) => b - a);
      this.versionsOf = jobs.revision;
    }
    return this.seenVersions;
  }

  /** Options of a choice; made anew only if they differ, so that an open one stays open. */
  fill(select, all, options, value) {
    const list = [["", all], ...options];
    if (value === "several") list.push(["several", "several states"]);
    else if (value && !options.some(([one]) => one === value)) list.push([value, value]);
    const shown = JSON.stringify(list);
    if (select.dataset.shown !== shown) {
      select.dataset.shown = shown;
      select.replaceChildren(...list.map(([one, text]) => {
        const option = make("option", "", text);
        option.value = one;
        return option;
      }));
    }
    if (select.value !== value) select.value = value;
  }
}
