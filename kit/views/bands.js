// The two upper bands: what this is, with its buttons; and the jobs in numbers.

const SUMMARY_EVERY_MS = 250;
const SUMMARY_MANY = 20_000; // jobs from which on percentiles are worked out once a second only

class HeadBand {
  constructor(board) {
    this.board = board;
    this.element = make("header", "kit-head");
    this.what = make("div", "kit-what");
    this.tools = make("div", "kit-tools-head");
    this.target = make("span", "kit-target kit-soft");
    this.input = button("kit-button", "Input", () => this.toggle("input"));
    this.input.title = "Edit the input of the next job";
    this.run = button("kit-button kit-primary", "Run", (event) => this.press(event, "run"));
    this.cancel = button("kit-button", "Cancel", (event) => this.press(event, "cancel"));
    this.export = button("kit-button", "Export handler.py", () => this.toggle("export"));
    this.export.title = "See what would be written, then write and verify it";
    this.everything = make("label", "kit-switch");
    this.box = make("input");
    this.box.type = "checkbox";
    this.box.addEventListener("change", () => board.click("all", { on: this.box.checked }));
    this.everything.append(this.box, make("span", "", "All sessions"));
    this.note = make("div", "kit-note");
    this.note.setAttribute("role", "status");
    this.element.append(this.what, this.tools);
  }

  press(event, what) {
    // the second half of a double click is not a second wish
    if (event.detail > 1) return;
    if (what === "run" && this.runInput?.()) return;
    if (what === "cancel") this.board.click("cancel", { i: this.toCancel() });
    else this.board.click(what);
  }

  /** The chosen job if it is live, the only live one, or null for all that are. */
  toCancel() {
    const { jobs, selected } = this.board;
    if (jobs.live.has(selected)) return selected;
    return jobs.live.size === 1 ? [...jobs.live][0] : null;
  }

  draw() {
    const { board } = this;
    const { head } = board;
    const parts = [make("span", "kit-name", head.name ?? "")];
    if (head.kind) parts.push(make("span", "kit-chip", head.kind));
    if (head.version) parts.push(make("span", "kit-chip", versionText(head)));
    if (head.cell) parts.push(make("span", "kit-soft kit-cell", `In [${head.cell}]`));
    this.what.replaceChildren(...parts);
    this.target.replaceChildren("target ", make("b", "", head.target ?? "local"));
    const tools = board.panel ? [this.everything, this.cancel] : [this.target, this.input, this.run, this.cancel, this.export];
    if (tools.some((tool, k) => this.tools.children[k] !== tool)) this.tools.replaceChildren(...tools);
    if (!board.busy("all")) this.box.checked = board.all;
    this.drawButtons();
    this.drawNote();
  }

  drawButtons() {
    const { board } = this;
    const live = board.jobs.live.size;
    this.face(this.run, board.busy("run") ? "Sent" : "Run", !board.busy("run"));
    const which = this.toCancel();
    const several = which === null && live > 1;
    const text = board.busy("cancel") ? "Sent" : several ? `Cancel ${count(live)} jobs` : "Cancel";
    this.face(this.cancel, text, live > 0 && !board.busy("cancel"));
    this.cancel.title = which !== null && live ? `Cancel job ${board.jobs.id(which)}` : "";
    say(this.export, board.exporting ? "Exporting" : "Export handler.py");
    this.input.setAttribute("aria-expanded", String(this.isOpen?.("input") ?? false));
    this.export.setAttribute("aria-expanded", String(this.isOpen?.("export") ?? false));
  }

  face(one, text, enabled) {
    say(one, text);
    one.disabled = !enabled;
  }

  drawNote() {
    const { board } = this;
    const lines = [];
    if (board.slow && board.clicks.size) lines.push(["kit-note-wait", BUSY_SENTENCE]);
    if (board.outcome?.text) lines.push([board.outcome.ok ? "kit-note-good" : "kit-note-bad", board.outcome.text]);
    if (board.note) lines.push(["kit-note-wait", board.note]);
    const text = lines.map((line) => line.join(" ")).join("\n");
    if (this.note.dataset.shown === text) return;
    this.note.dataset.shown = text;
    this.note.hidden = !lines.length;
    this.note.replaceChildren(...lines.map(([className, line]) => make("div", className, line)));
  }
}

function versionText(head) {
  if (head.lines_changed === null || head.lines_changed === undefined) return `v${head.version}`;
  return `v${head.version}, ${head.lines_changed ? `${plural(head.lines_changed, "line")} changed` : "unchanged"}`;
}

const SUMMARY_STATES = [
  [COMPLETED, "completed", true], [FAILED, "failed", true], [TIMED_OUT, "timed out", false], [CANCELLED, "cancelled", true],
  [LOST, "lost", false], [RUNNING, "running", true], [QUEUED, "queued", true],
];

class SummaryBand {
  constructor(board) {
    this.board = board;
    this.element = make("div", "kit-summary");
    this.counts = make("div", "kit-counts");
    this.figures = make("div", "kit-figures");
    this.element.append(this.counts, this.figures);
    this.cells = new Map();
    for (const [state, word, always] of SUMMARY_STATES) {
      const cell = button("kit-count", "", () => board.filter.toggleState(state));
      cell.title = `Show only ${word} jobs, or all again`;
      const swatch = make("span", "kit-swatch");
      swatch.dataset.state = STATES[state];
      const number = make("b");
      cell.append(swatch, number, ` ${word}`);
      this.cells.set(state, { cell, number, always });
      this.counts.append(cell);
    }
    this.older = make("span", "kit-soft");
    this.counts.append(this.older);
    this.drawnAt = -Infinity;
  }

  draw() {
    const { jobs, older, filter } = this.board;
    const { counts } = filter;
    for (const [state, { cell, number, always }] of this.cells) {
      say(number, count(counts[state]));
      cell.hidden = !always && !jobs.counts[state] && !filter.states.has(state);
      cell.classList.toggle("kit-none", !counts[state]);
      cell.setAttribute("aria-pressed", String(filter.states.has(state)));
    }
    say(this.older, older > 0 ? `${count(older)} older in the store` : older < 0 ? "older ones in the store" : "");
    const wait = jobs.n > SUMMARY_MANY ? 1000 : SUMMARY_EVERY_MS;
    const since = performance.now() - this.drawnAt;
    clearTimeout(this.timer);
    if (since < wait) {
      this.timer = setTimeout(() => this.drawFigures(), wait - since);
      return;
    }
    this.drawFigures();
  }

  drawFigures() {
    this.drawnAt = performance.now();
    const { jobs, samples, names, filter } = this.board;
    const { p50, p95, peak, vram, at } = figures(jobs, filter.active ? filter.match : null);
    const parts = [];
    const add = (name, value, rest) => {
      const one = make("span", "kit-figure-cell");
      one.append(make("span", "kit-soft", `${name} `), make("b", "", value));
      if (rest) one.append(make("span", "kit-soft", ` ${rest}`));
      parts.push(one);
    };
    if (Number.isFinite(p50)) {
      add("p50", duration(p50));
      add("p95", duration(p95));
    }
    if (Number.isFinite(peak)) {
      const place = names.places.indexOf(names.targets[jobs.target[at]]);
      const total = vram ? deviceTotal(samples, place) : NaN;
      add(vram ? "peak" : "peak RSS", memory(peak), Number.isFinite(total) ? `of ${memory(total)}` : "");
    }
    if (parts.length && filter.active) parts.unshift(make("span", "kit-soft", "of those shown"));
    this.figures.replaceChildren(...parts);
  }
}

/** p50 and p95 of completed jobs in ms, and the largest peak in MiB; of those that match, if asked. */
function figures(jobs, match = null) {
  const times = new Float32Array(jobs.counts[COMPLETED]);
  let n = 0;
  let peak = NaN;
  let vram = false;
  let at = -1; // the job of the peak
  for (let i = 0; i < jobs.n; i += 1) {
    if (match && !match[i]) continue;
    if (jobs.state[i] === COMPLETED && !Number.isNaN(jobs.execution[i])) times[n++] = jobs.execution[i];
    const device = (jobs.flags[i] & FLAG.vram) !== 0;
    if (Number.isNaN(jobs.peak[i]) || (vram && !device)) continue;
    if (!(jobs.peak[i] <= peak) || (device && !vram)) [peak, at] = [jobs.peak[i], i];
    vram ||= device;
  }
  const sorted = times.subarray(0, n).sort();
  // nearest rank, as the static picture does
  const rank = (q) => (n ? sorted[Math.max(0, Math.ceil(q * n) - 1)] : NaN);
  return { p50: rank(0.5), p95: rank(0.95), peak, vram, at };
}

function deviceTotal(samples, place) {
  return samples.devices("vram", place).reduce((sum, device) => sum + samples.line("vram", device, place).total, 0) || NaN;
}
