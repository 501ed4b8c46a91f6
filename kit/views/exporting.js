// The export view: what would be written, why, how it differs from the last export; then the proof.

const EXPORT_TABS = ["handler.py", "Changes", "Why"];
const PY_INK = /(#[^\n]*)|("""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?)|\b(def|class|return|yield|async|await|import|from|as|if|elif|else|for|while|with|try|except|finally|raise|in|not|and|or|is|None|True|False|lambda|global|pass|del)\b/g;
const VERDICTS = { equal: "Equal", completed: "Completed", different: "Different", "not verified": "Not verified" };

/** What is known of exports of one card; it outlives a view. */
class ExportState {
  constructor(board) {
    this.board = board;
    this.open = false;
    this.path = "worker";
    this.over = false; // replace what was edited by hand
    this.draft = null;
    this.outcome = null;
    this.since = 0;
    board.on_draft = (content) => {
      if (content.p !== board.page) return;
      this.draft = content;
      board.changed("export");
    };
    board.on_exporting = () => {
      board.exporting = true;
      board.changed("clicks");
    };
    board.on_exported = (content) => {
      board.exporting = false;
      this.outcome = content;
      if (this.open) {
        board.outcome = null;
        this.plan(); // nothing differs any more, or what is in the way has another name
      } else board.outcome = { ok: content.ok, text: content.s };
      board.changed("export");
      board.changed("clicks");
    };
  }

  plan() {
    this.board.click("draft", { path: this.path, p: this.board.page });
  }

  write() {
    this.outcome = null;
    this.since = performance.now();
    this.board.click("export", { path: this.path, over: this.over });
  }
}

class ExportView {
  constructor(board, state) {
    this.board = board;
    this.state = state;
    this.tab = EXPORT_TABS[0];
    this.element = make("section", "kit-export");
    this.element.setAttribute("aria-label", "Export");
    this.element.setAttribute("data-lm-suppress-shortcuts", "true");
    this.element.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") this.shut();
      if (event.key === "Enter" && event.target === this.path) this.go();
    });
    this.outcome = make("div", "kit-outcome");
    this.outcome.setAttribute("role", "status");
    this.refused = make("div", "kit-refused");
    this.element.append(this.makeHead(), this.refused, this.outcome, this.makeMain());
    this.draw();
  }

  makeHead() {
    const head = make("div", "kit-editor-head");
    this.title = make("b", "kit-editor-title", "Export");
    this.path = make("input", "kit-path");
    this.path.type = "text";
    this.path.setAttribute("aria-label", "Folder to write");
    this.path.setAttribute("spellcheck", "false");
    this.path.value = this.state.path;
    this.path.addEventListener("change", () => this.go());
    this.writes = button("kit-button kit-primary", "Write and verify", (event) => {
      if (event.detail <= 1) this.state.write();
    });
    const shut = button("kit-tool", "Close", () => this.shut());
    const tools = make("div", "kit-editor-tools");
    tools.append(this.writes, shut);
    const to = make("label", "kit-to");
    to.append(make("span", "kit-soft", "to the folder"), this.path);
    head.append(this.title, to, tools);
    return head;
  }

  makeMain() {
    this.tabs = make("div", "kit-tabs");
    this.tabs.setAttribute("role", "tablist");
    this.buttons = EXPORT_TABS.map((name, k) => {
      const one = button("kit-tab", name, () => this.show(name));
      one.setAttribute("role", "tab");
      one.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = (k + step + EXPORT_TABS.length) % EXPORT_TABS.length;
        this.show(EXPORT_TABS[next]);
        this.buttons[next].focus();
      });
      return one;
    });
    this.tabs.append(...this.buttons);
    const row = make("div", "kit-tab-row");
    row.append(this.tabs);
    this.body = make("div", "kit-export-body");
    this.body.setAttribute("role", "tabpanel");
    this.body.tabIndex = 0;
    const left = make("div", "kit-export-left");
    left.append(row, this.body);
    this.side = make("div", "kit-export-side");
    this.main = make("div", "kit-export-main");
    this.main.append(left, this.side);
    return this.main;
  }

  show(tab) {
    this.tab = tab;
    this.drawn = null;
    this.draw();
  }

  shut() {
    this.state.open = false;
    this.board.changed("export");
    this.onLeave?.();
  }

  /** Plan for the folder that is written there now. */
  go() {
    const path = this.path.value.trim() || "worker";
    this.path.value = path;
    if (path === this.state.path && this.state.draft) return;
    this.state.path = path;
    this.state.over = false;
    this.state.outcome = null;
    this.state.plan();
  }

  // -- drawing ----------------------------------------------------------------------------------

  draw() {
    const { state, board } = this;
    this.element.hidden = !state.open;
    if (!state.open) return;
    const { draft } = state;
    const busy = board.busy("export");
    const stopped = Boolean(draft?.refused) && !(draft.edited && state.over);
    this.writes.disabled = busy || !draft || stopped;
    say(this.writes, board.exporting ? "Verifying" : busy ? "Sent" : "Write and verify");
    this.drawOutcome();
    this.main.hidden = !draft?.code && !draft?.choices.length;
    if (!draft || draft === this.drawn) return;
    this.drawn = draft;
    this.title.replaceChildren("Export ", make("span", "kit-soft", draft.handler));
    this.drawRefused(draft);
    const kept = draft.choices.filter(([keeps]) => keeps).length;
    const words = { "handler.py": "handler.py", Changes: draft.diff ? `Changes ${changesText(draft.diff)}` : "Changes", Why: `Why  ${count(kept)} kept, ${count(draft.choices.length - kept + draft.choices_left)} dropped` };
    this.buttons.forEach((one, k) => {
      one.setAttribute("aria-selected", String(EXPORT_TABS[k] === this.tab));
      one.tabIndex = EXPORT_TABS[k] === this.tab ? 0 : -1;
      say(one, words[EXPORT_TABS[k]]);
    });
    this.body.replaceChildren(...this.tabBody(draft));
    this.body.setAttribute("aria-label", this.tab);
    this.drawSide(draft);
  }

  drawRefused(draft) {
    this.refused.hidden = !draft.refused;
    if (!draft.refused) return;
    const parts = [make("div", "", draft.refused)];
    if (draft.edited) {
      const label = make("label", "kit-switch");
      const box = make("input");
      box.type = "checkbox";
      box.checked = this.state.over;
      box.addEventListener("change", () => {
        this.state.over = box.checked;
        this.draw();
      });
      label.append(box, make("span", "", "Replace it; files that are no part of a bundle stay"));
      parts.push(label);
    }
    this.refused.replaceChildren(...parts);
  }

  drawOutcome() {
    const { state, board } = this;
    clearInterval(this.clock);
    this.outcome.hidden = !state.outcome && !board.exporting;
    if (board.exporting) {
      const jobs = state.draft?.jobs ?? 0;
      const what = jobs ? `${plural(jobs, "recorded job")}` : "the test input";
      const tick = () => `Writing, then ${what} through a real worker process${state.since ? `, ${Math.floor((performance.now() - state.since) / 1000)} s` : ""}`;
      const line = make("div", "kit-soft", tick());
      this.outcome.dataset.verdict = "";
      this.outcome.replaceChildren(line);
      this.clock = setInterval(() => (line.isConnected ? say(line, tick()) : clearInterval(this.clock)), 1000);
      return;
    }
    const { outcome } = state;
    if (!outcome) return;
    this.outcome.dataset.verdict = outcome.ok ? outcome.verdict : "refused";
    const head = make("div", "kit-outcome-head");
    head.append(make("span", "kit-pill", outcome.ok ? VERDICTS[outcome.verdict] ?? outcome.verdict : "Nothing was written"), make("span", "", outcome.s));
    if (outcome.seconds) head.append(make("span", "kit-soft", duration(outcome.seconds * 1000)));
    this.outcome.replaceChildren(head, ...comparedRows(outcome.rows), ...outcome.notes.map(noteRow));
  }

  tabBody(draft) {
    if (this.tab === "Changes") return diffLines(draft);
    if (this.tab === "Why") return [whyTable(draft), ...draft.unlisted.map((phrase) => make("div", "kit-soft kit-unlisted", phrase))];
    const code = make("div", "kit-code-lines");
    code.append(...codeLines(draft.code));
    return draft.code_left ? [code, make("div", "kit-soft", `${count(draft.code_left)} more characters`)] : [code];
  }

  drawSide(draft) {
    const parts = draft.files.length ? [make("div", "kit-side-title", "Files")] : [];
    const files = make("ul", "kit-file-list");
    for (const [name, size, state] of draft.files) {
      const row = make("li", "");
      const mark = make("span", "kit-file-state", FILE_STATES[state] ?? state);
      mark.dataset.state = state;
      row.append(make("span", "kit-file-name", name), make("span", "kit-soft", bytes(size)), mark);
      files.append(row);
    }
    parts.push(files);
    const open = draft.choices.filter((choice) => choice[1]);
    if (open.length || draft.notes.length) parts.push(make("div", "kit-side-title", "To know"));
    const list = make("ul", "kit-findings");
    const item = (head, text) => {
      const one = make("li", "kit-finding");
      if (head) one.append(make("div", "kit-code", head));
      one.append(...wordsOf(text));
      list.append(one);
    };
    for (const [keeps, , place, code, reason] of open) item(`${place}  ${code}`, `${keeps ? "Kept" : "Dropped"}: ${reason}. Say which with # kit: keep or # kit: drop.`);
    for (const note of draft.notes) item("", note);
    if (list.childNodes.length) parts.push(list);
    this.side.replaceChildren(...parts);
  }
}

const FILE_STATES = { new: "new", same: "unchanged", changed: "changed", edited: "edited by hand", gone: "goes away" };

/** "+3 −1" of a unified diff. */
function changesText(diff) {
  const lines = diff.split("\n");
  const n = (sign) => lines.filter((line) => line.startsWith(sign) && !line.startsWith(sign.repeat(3))).length;
  return `+${count(n("+"))} −${count(n("-"))}`;
}

function diffLines(draft) {
  if (draft.diff === null) return [make("div", "kit-soft", "Nothing was exported to this folder before.")];
  if (!draft.diff) return [make("div", "kit-soft", "Nothing differs from the last export to this folder.")];
  const holder = make("div", "kit-diff");
  const lines = draft.diff.replace(/\n$/, "").split("\n");
  lines.forEach((line, k) => {
    // a removed line may begin with two more dashes: a header is a pair
    if (line.startsWith("--- ") && lines[k + 1]?.startsWith("+++ ")) return;
    const file = line.startsWith("+++ ") && lines[k - 1]?.startsWith("--- ");
    const kind = file ? "file" : line.startsWith("@@") ? "at" : { "+": "plus", "-": "minus" }[line[0]] ?? "";
    const text = file ? changedFile(lines[k - 1].slice(4), line.slice(4)) : line || " ";
    holder.append(make("div", `kit-diff-line${kind ? ` kit-diff-${kind}` : ""}`, text));
  });
  if (draft.diff_left) holder.append(make("div", "kit-soft", `${count(draft.diff_left)} more characters`));
  return [holder];
}

/** "handler.py", "README.md (new)", "old.py (goes away)" of a diff's two headers. */
function changedFile(before, after) {
  if (before === "/dev/null") return `${after.slice(2)} (new)`;
  return after === "/dev/null" ? `${before.slice(2)} (goes away)` : after.slice(2);
}

function whyTable(draft) {
  const table = make("table", "kit-why");
  const head = make("tr", "");
  for (const name of ["", "Where", "Statement", "Because"]) head.append(make("th", "", name));
  const top = make("thead", "");
  top.append(head);
  const body = make("tbody", "");
  // what stays first, then what asks, then what goes; each in the order of execution
  const rank = ([keeps, question]) => (keeps ? 0 : question ? 1 : 2);
  const choices = [...draft.choices].sort((one, other) => rank(one) - rank(other));
  for (const [keeps, question, place, code, reason] of choices) {
    const row = make("tr", keeps ? "" : "kit-dropped");
    const fate = make("td", question ? "kit-asks" : "", keeps ? "kept" : "dropped");
    const because = make("td", "");
    because.append(...wordsOf(reason));
    row.append(fate, make("td", "kit-place", place), make("td", "kit-code", code), because);
    body.append(row);
  }
  table.append(top, body);
  return table;
}

/** Recorded jobs whose answer differs, or that were not run; equal ones are counted in the sentence. */
function comparedRows(rows) {
  return rows.filter((row) => row[1] !== "equal").slice(0, 20).map(([id, result, path, notebook, worker, reason]) => {
    const one = make("div", "kit-compared");
    one.append(make("div", "", `job ${id}: ${result}${path ? ` at ${path}` : ""}`));
    if (path) {
      const sides = make("div", "kit-sides kit-code");
      sides.append(make("span", "kit-soft", "notebook"), make("span", "", notebook), make("span", "kit-soft", "worker"), make("span", "", worker));
      one.append(sides);
    }
    if (reason) one.append(make("div", "kit-soft", reason));
    return one;
  });
}

function noteRow(note) {
  const row = make("div", "kit-compared kit-soft");
  row.append(...wordsOf(note));
  return row;
}

/** A sentence with its `code` in the code font. */
function wordsOf(text) {
  const parts = text.split("\u0060");
  if (parts.length % 2 === 0) return [make("span", "", text)];
  return parts.map((part, k) => make("span", k % 2 ? "kit-code" : "", part)).filter((part) => part.textContent);
}

/** Python as lines of pieces: comments, strings and keywords apart from the rest. */
function codeLines(code) {
  const lines = [];
  let line = make("div", "kit-line");
  const put = (text, kind) => {
    text.split("\n").forEach((piece, k) => {
      if (k) {
        lines.push(line);
        line = make("div", "kit-line");
      }
      if (piece) line.append(kind ? make("span", kind, piece) : piece);
    });
  };
  let done = 0;
  for (const found of code.matchAll(PY_INK)) {
    put(code.slice(done, found.index), "");
    put(found[0], found[1] !== undefined ? "kit-soft" : found[2] !== undefined ? "kit-ink-string" : "kit-ink-word");
    done = found.index + found[0].length;
  }
  put(code.slice(done).replace(/\n$/, ""), "");
  lines.push(line);
  return lines;
}
