// The job pane: what one job took in, gave back, printed, and would post.

const RUN_LIMIT_BYTES = 10_000_000; // documented by RunPod: /run, /runsync, one post to /stream
const RUNSYNC_LIMIT_BYTES = 20_000_000;
const CHUNK_LIMIT_BYTES = 1_000_000;
const PAYLOAD_LIMITS = [[RUN_LIMIT_BYTES, "/run"], [RUNSYNC_LIMIT_BYTES, "/runsync"]];
const TABS = ["Output", "Input", "Logs", "Wire", "Compare"];
const LOG_LINES_SHOWN = 4000;
const STALE_MS = 250; // what was shown stays this long for the next job's to come: a quick one does not blink
const HOLDS = "button, input, select, textarea, audio, video, .kit-entry, .kit-swipe";
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
    this.holdWhileUsed();
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
    if (tab === this.tab && !this.board.detail?.final) this.drawn = null; // once more: as it is now
    this.tab = tab;
    this.draw("tab");
  }

  /** What a person opens, loads, types, marks or scrolls stays, whatever other jobs come. */
  holdWhileUsed() {
    const { body } = this;
    const hold = () => {
      this.board.hold();
      this.drawUnpin();
    };
    body.addEventListener("pointerdown", (event) => event.target.closest(HOLDS) && hold());
    body.addEventListener("pointerup", () => getSelection()?.isCollapsed === false && hold());
    body.addEventListener("keydown", (event) => event.key !== "Tab" && event.key !== "Shift" && hold());
    body.addEventListener("wheel", () => body.scrollHeight > body.clientHeight && hold(), { passive: true });
  }

  drawUnpin() {
    this.unpin.hidden = this.board.follows;
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
    this.buttons.forEach((one, k) => {
      one.setAttribute("aria-selected", String(TABS[k] === this.tab));
      one.tabIndex = TABS[k] === this.tab ? 0 : -1;
      const lines = TABS[k] === "Logs" && detail ? logLines(detail.logs) : 0;
      say(one, lines ? `Logs ${count(lines)}` : TABS[k]);
    });
    if (!detail) {
      this.clear();
      return;
    }
    const said = signature(this.board, detail, this.tab);
    const place = `${this.board.generation} ${this.board.wanted} ${detail.attempt} ${this.tab}`;
    if (this.drawn?.said === said && this.drawn.place === place) {
      if (what === "live") this.appendLive(detail);
      else if (this.tab === "Output") this.renewFindings(detail);
      return;
    }
    const again = this.drawn?.place === place; // the same, with more in it
    const { scrollTop } = this.body;
    const bottom = atBottom(this.body);
    if (!again) this.stream = null;
    this.drawn = { said, place };
    this.fill(...this[`tab${this.tab}`](detail));
    if (this.tab === "Logs" && (bottom || !again)) this.body.scrollTop = this.body.scrollHeight;
    else this.body.scrollTop = again ? scrollTop : 0;
    this.stream?.settle();
  }

  fill(...parts) {
    clearTimeout(this.stale);
    this.stale = 0;
    this.body.removeAttribute("aria-busy");
    this.body.replaceChildren(...parts);
  }

  /** Another job, of which nothing has come yet. */
  clear() {
    this.drawn = null;
    this.body.setAttribute("aria-busy", "true");
    this.stale ||= setTimeout(() => {
      if (!this.board.detail) this.fill();
    }, STALE_MS);
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
    this.drawUnpin();
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
    this.progress = null;
    if (detail.error || detail.lost) parts.push(this.failure(detail));
    if (detail.progress !== null && !detail.final) parts.push(this.progressPart(detail));
    if (detail.stream.n) parts.push(this.streamPart(detail));
    const streamed = detail.stream.n && detail.output?.t === "array" && !detail.output.n;
    if (streamed) parts.push(make("div", "kit-soft", "The final output is an empty list: a client gets the chunks."));
    else if (detail.output !== undefined) parts.push(payloadElement(this.board, "output", detail.output, detail.output_bytes));
    else if (detail.output_later) parts.push(this.later("output", { t: "tree", what: "output" }));
    else if (!parts.length) parts.push(make("div", "kit-soft", emptyText(detail)));
    this.findings = this.findingsPart(detail.findings);
    parts.push(this.findings);
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
    this.drawnLogs = detail.logs.length;
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
    this.progress = { row, told: detail.progress };
    return row;
  }

  streamPart(detail) {
    this.stream = new StreamPart(this.board, detail, this.stream, (stream) => {
      if (stream.later) return this.later("stream", { t: "tree", what: "stream" });
      return payloadElement(this.board, "stream", stream.tree, null);
    });
    return this.stream.element;
  }

  findingsPart(findings) {
    const list = make("ul", "kit-findings");
    list.hidden = !findings.length;
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

  /** A finding may come after the end of its job: nothing else is drawn anew for it. */
  renewFindings(detail) {
    if (!this.findings?.isConnected || this.findings.childElementCount === detail.findings.length) return;
    const next = this.findingsPart(detail.findings);
    this.findings.replaceWith(next);
    this.findings = next;
  }

  /** Add what came for a running job; all else in the pane stays as it is. */
  appendLive(detail) {
    if (this.tab === "Logs") {
      if (!this.log?.isConnected) {
        this.fill(...this.tabLogs(detail));
        return;
      }
      const bottom = atBottom(this.body);
      this.addLog(this.log, detail.logs.slice(this.drawnLogs));
      this.drawnLogs = detail.logs.length;
      if (bottom) this.body.scrollTop = this.body.scrollHeight;
    } else if (this.tab === "Output") {
      if (detail.stream.n && !this.stream?.grow()) {
        this.fill(...this.tabOutput(detail));
        this.stream.settle();
      } else if (detail.progress !== null && this.progress?.told !== detail.progress) {
        const { row } = this.progress ?? {};
        const next = this.progressPart(detail);
        if (row) row.replaceWith(next);
        else this.fill(...this.tabOutput(detail));
      }
    }
  }
}

function atBottom(box) {
  return box.scrollTop + box.clientHeight > box.scrollHeight - 24;
}

/** What the body shows of a job. As long as it is the same, nothing is drawn anew, and what was opened stays open. */
function signature(board, detail, tab) {
  const ends = [detail.state, detail.has_input].join();
  if (tab === "Input") return String(detail.has_input);
  if (tab === "Compare") return String(detail.final);
  if (tab === "Wire") return ends;
  if (!detail.final) return detail; // what came since is in it
  if (tab === "Logs") return [ends, detail.logs.length].join();
  return [ends, detail.stream.n, detail.output_bytes, detail.error?.message].join();
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
