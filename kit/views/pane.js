// The job pane: what one job took in, gave back, printed, and would post.

const RUN_LIMIT_BYTES = 10_000_000; // documented by RunPod: /run, /runsync, one post to /stream
const RUNSYNC_LIMIT_BYTES = 20_000_000;
const CHUNK_LIMIT_BYTES = 1_000_000;
const PAYLOAD_LIMITS = [[RUN_LIMIT_BYTES, "/run"], [RUNSYNC_LIMIT_BYTES, "/runsync"]];
const TABS = ["Output", "Input", "Logs", "Wire", "Compare"];
const LOG_LINES_SHOWN = 4000;
// colours and cursor moves of a terminal: a log is text
const TERMINAL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-_])/g;

class Pane {
  constructor(board) {
    this.board = board;
    this.tab = "Output";
    this.element = make("section", "kit-pane");
    this.element.setAttribute("aria-label", "Selected job");
    this.pill = make("span", "kit-pill");
    this.name = make("span", "kit-job-id");
    this.time = make("span", "kit-soft kit-job-time");
    this.unpin = button("kit-link", "Latest", () => board.select(-1));
    this.unpin.title = "Back to the latest job, and follow it";
    const head = make("div", "kit-job-head");
    head.append(this.pill, this.name, this.time);
    this.head = head;
    this.facts = make("div", "kit-facts kit-soft");
    this.tabs = make("div", "kit-tabs");
    this.tabs.setAttribute("role", "tablist");
    this.buttons = TABS.map((tab) => this.tabButton(tab));
    this.tabs.append(...this.buttons);
    this.body = make("div", "kit-tab-body");
    this.body.setAttribute("role", "tabpanel");
    this.body.tabIndex = 0;
    const row = make("div", "kit-tab-row");
    row.append(this.tabs, this.unpin);
    this.parts = [head, this.facts, row, this.body];
    this.none = make("div", "kit-soft kit-no-match", "No job matches the filter.");
    this.none.hidden = true;
    this.element.append(...this.parts, this.none);
  }

  tabButton(tab) {
    const one = button("kit-tab", tab, () => this.open(tab));
    one.setAttribute("role", "tab");
    one.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (TABS.indexOf(this.tab) + step + TABS.length) % TABS.length;
      this.open(TABS[next]);
      this.buttons[next].focus();
    });
    return one;
  }

  open(tab) {
    this.tab = tab;
    this.draw("tab");
  }

  /** A job shown alone has its Cancel button here. */
  setCancel(element) {
    if (element && element.parentNode !== this.head) this.head.append(element);
  }

  focus() {
    this.body.focus();
  }

  /** With no match there is no job to tell of: the last one told of would look like one. */
  drawMatch() {
    const { filter } = this.board;
    const none = filter.active && !filter.shown;
    this.none.hidden = !none;
    for (const part of this.parts) part.hidden = none;
  }

  /** Redraw what a change calls for. */
  draw(what) {
    const index = this.board.shown();
    this.element.hidden = index < 0;
    if (index < 0) return;
    this.drawHead(index);
    const { detail } = this.board;
    // the body follows messages about this job only; its parts come by themselves
    if ((what === "delta" || what === "part") && detail) return;
    if (what === "live" && this.appendLive()) return;
    this.buttons.forEach((one, k) => {
      one.setAttribute("aria-selected", String(TABS[k] === this.tab));
      one.tabIndex = TABS[k] === this.tab ? 0 : -1;
      const lines = TABS[k] === "Logs" && detail ? logLines(detail.logs) : 0;
      say(one, lines ? `Logs ${count(lines)}` : TABS[k]);
    });
    if (!detail) {
      this.drawn = null;
      this.body.replaceChildren(make("div", "kit-soft", ""));
      return;
    }
    const said = signature(this.board, detail);
    if (this.drawn?.said === said && this.drawn.tab === this.tab && what !== "live") return;
    this.drawn = { said, tab: this.tab };
    this.body.replaceChildren(...this[`tab${this.tab}`](detail));
    if (this.tab === "Logs") this.body.scrollTop = this.body.scrollHeight;
  }

  drawHead(i) {
    const { board } = this;
    const { jobs } = board;
    const state = jobs.state[i];
    say(this.pill, STATES[state]);
    this.pill.dataset.state = STATES[state];
    say(this.name, `job ${jobs.id(i)}`);
    if (board.detail && board.wanted === i) this.name.title = board.detail.id;
    const took = jobs.took(i, board.now());
    say(this.time, Number.isFinite(took) ? duration(took) : "");
    this.unpin.hidden = board.selected < 0;
    const facts = [];
    if (board.panel) facts.push(board.names.handlers[jobs.handler[i]]);
    facts.push(`v${jobs.version[i]}`);
    facts.push(clock(jobs.submitted[i]));
    const waited = (jobs.laneOf[i] ? jobs.started[i] : jobs.stop(i, board.now())) - jobs.submitted[i];
    facts.push(`queued ${duration(waited * 1000)}`);
    if (Number.isFinite(jobs.peak[i])) facts.push(peakText(jobs, i));
    if (jobs.attempt[i] > 1) facts.push(`attempt ${jobs.attempt[i]}`);
    if (jobs.flags[i] & FLAG.cancelAsked && state < COMPLETED) facts.push("cancel asked");
    if (jobs.flags[i] & FLAG.stuck) facts.push("could not be stopped");
    say(this.facts, facts.join("  ·  "));
  }

  // -- tabs -------------------------------------------------------------------------------------

  tabOutput(detail) {
    const parts = [];
    if (detail.error || detail.lost) parts.push(this.failure(detail));
    if (detail.progress !== null && !detail.final) parts.push(this.progressPart(detail));
    if (detail.stream.n) parts.push(this.streamPart(detail));
    const streamed = detail.stream.n && detail.output?.t === "array" && !detail.output.n;
    if (streamed) parts.push(make("div", "kit-soft", "The final output is an empty list: a client gets the chunks."));
    else if (detail.output !== undefined) parts.push(payloadElement(this.board, "output", detail.output, detail.output_bytes));
    else if (detail.output_later) parts.push(this.later("output", { t: "tree", what: "output" }));
    else if (!parts.length) parts.push(make("div", "kit-soft", emptyText(detail)));
    if (detail.findings.length) parts.push(this.findingsPart(detail.findings));
    return parts;
  }

  tabInput(detail) {
    if (!detail.has_input) return [make("div", "kit-soft", "The request is no longer stored: payloads were dropped to stay under the cap.")];
    return [this.later("input", { t: "input" })];
  }

  /** A payload that is asked for now and shown when it comes. */
  later(what, request) {
    const holder = make("div", "kit-later");
    const wait = setTimeout(() => holder.append(make("div", "kit-soft", "Reading…")), 300);
    ask(this.board, request).then((part) => {
      clearTimeout(wait);
      if (part) holder.replaceChildren(part.tree === undefined ? make("div", "kit-soft", part.s ?? "no longer stored") : payloadElement(this.board, what, part.tree, part.bytes));
    });
    return holder;
  }

  tabWire() {
    const holder = make("div", "kit-wire");
    ask(this.board, { t: "wire" }).then((part) => {
      if (!part) return;
      const block = (title, tree) => holder.append(make("div", "kit-block-title", title), new Tree(tree).element);
      if (part.lost) holder.append(make("div", "kit-failure", `The worker would post no result: ${part.lost}`));
      if (part.done !== undefined) block("job-done", part.done);
      if (part.stream !== undefined) block(`job-stream, ${plural(part.n_stream, "post")}`, part.stream);
      if (part.progress !== undefined) block(`progress, ${plural(part.n_progress, "post")}`, part.progress);
      holder.prepend(make("div", "kit-soft", holder.childNodes.length ? "What RunPod's worker would post for this job." : "Nothing would be posted yet."));
    });
    return [holder];
  }

  tabCompare(detail) {
    if (!detail.final) return [make("div", "kit-soft", "When the job has ended, its output can be compared with another.")];
    return [new ComparePart(this.board).element];
  }

  tabLogs(detail) {
    if (!detail.logs.length) return [make("div", "kit-soft", detail.final ? "The handler printed nothing." : "Nothing printed yet.")];
    const log = make("pre", "kit-log");
    this.addLog(log, detail.logs);
    detail.drawnLogs = detail.logs.length;
    this.log = log;
    return detail.logs_cut ? [make("div", "kit-soft", detail.logs_cut), log] : [log];
  }

  addLog(log, lines) {
    for (const [stream, given] of lines) {
      let text = given.replace(TERMINAL, "");
      if (text.startsWith("\r") && text.length > 1) {  // draws over the line that is not ended yet
        text = text.slice(1);
        const last = log.lastChild;
        if (last) last.textContent = last.textContent.slice(0, last.textContent.lastIndexOf("\n") + 1);
      }
      log.append(make("span", stream === "stderr" ? "kit-stderr" : stream === "process" ? "kit-soft" : "", text));
    }
    while (log.childNodes.length > LOG_LINES_SHOWN) log.firstChild.remove();
  }

  // -- parts of a tab ---------------------------------------------------------------------------

  failure(detail) {
    const box = make("div", "kit-failure");
    const { error } = detail;
    if (error) {
      const kind = /'([^']+)'/.exec(error.type)?.[1] ?? error.type;
      box.append(make("div", "kit-error-head", kind ? `${kind}: ${error.message}` : error.message));
      if (error.traceback) box.append(make("pre", "kit-trace", error.traceback));
    }
    if (detail.lost) box.append(make("div", "", `The worker would post no result: ${detail.lost}`));
    return box;
  }

  progressPart(detail) {
    const row = make("div", "kit-progress");
    row.append(make("span", "kit-soft", "progress"));
    const value = progressValue(detail.progress);
    const share = fraction(value);
    if (share !== null) {
      const bar = make("div", "kit-bar");
      const fill = make("div", "kit-bar-fill");
      fill.style.width = `${Math.round(share * 100)}%`;
      bar.append(fill);
      row.append(bar);
    }
    row.append(make("span", "kit-code", typeof value === "string" ? value : JSON.stringify(value)));
    return row;
  }

  streamPart(detail) {
    this.stream = new StreamPart(this.board, detail, (stream) => {
      if (stream.later) return this.later("stream", { t: "tree", what: "stream" });
      return payloadElement(this.board, "stream", stream.tree, null);
    });
    return this.stream.element;
  }

  findingsPart(findings) {
    const list = make("ul", "kit-findings");
    for (const [code, sentence, place, remedy] of findings) {
      const item = make("li", "kit-finding");
      const text = make("div");
      text.append(make("b", "", code), ` ${sentence}`);
      item.append(text);
      const rest = [place, remedy].filter(Boolean).join(". ");
      if (rest) item.append(make("div", "kit-soft", rest));
      list.append(item);
    }
    return list;
  }

  /** Add what came for a running job; false if the whole tab must be drawn. */
  appendLive() {
    const { detail } = this.board;
    if (!detail) return false;
    if (this.tab === "Logs" && this.log?.isConnected && detail.drawnLogs) {
      const bottom = this.body.scrollTop + this.body.clientHeight > this.body.scrollHeight - 24;
      this.addLog(this.log, detail.logs.slice(detail.drawnLogs));
      detail.drawnLogs = detail.logs.length;
      if (bottom) this.body.scrollTop = this.body.scrollHeight;
      return true;
    }
    return this.tab === "Output" && Boolean(this.stream?.detail === detail && this.stream.grow());
  }
}

/** What the body shows of a job: told twice, an ended job is not drawn anew, and what was opened stays open. */
function signature(board, detail) {
  if (!detail.final) return detail;
  const { generation, wanted, jobs } = board;
  return [generation, wanted, jobs.attempt[wanted], detail.state, detail.findings.length, detail.logs.length, detail.stream.n, detail.output_bytes, detail.has_input].join();
}

function logLines(logs) {
  return logs.reduce((n, [, text]) => n + text.split("\n").length - 1, 0);
}

function emptyText(detail) {
  if (!detail.final) return detail.state === "IN_QUEUE" ? "Waiting for a worker slot." : "Running. No output yet.";
  if (detail.state === "CANCELLED") return "Cancelled: no output.";
  if (detail.state === "TIMED_OUT") return "Stopped at its time limit: no output.";
  return detail.output_dropped ? "The output is no longer stored: payloads were dropped to stay under the cap." : "No output.";
}

function progressValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A share 0..1 if a progress value plainly says one: 0.4, "40%", {"progress": 40}, {"step": 4, "total": 10}. */
function fraction(value) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    const total = value.total ?? value.steps ?? value.of;
    const done = value.step ?? value.done ?? value.current;
    if (typeof total === "number" && typeof done === "number" && total > 0) return Math.max(0, Math.min(1, done / total));
    const named = value.progress ?? value.percent;
    return typeof named === "number" && named > 1 && named <= 100 ? named / 100 : fraction(named ?? null);
  }
  const number = typeof value === "string" ? Number(/^\s*([\d.]+)\s*%/.exec(value)?.[1] ?? NaN) / 100 : value;
  return typeof number === "number" && number >= 0 && number <= 1 ? number : null;
}
