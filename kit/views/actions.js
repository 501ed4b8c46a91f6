// What can be done with the chosen job beside looking at it: run it again, or edit its input first.

const AGAIN = [FAILED, TIMED_OUT, CANCELLED, LOST];

class JobActions {
  constructor(board, edit) {
    this.board = board;
    this.element = make("span", "kit-job-actions");
    this.again = button("kit-tool kit-boxed", "Retry", (event) => {
      if (event.detail <= 1) board.click("retry", { i: board.shown() });
    });
    this.again.title = "Run the same request again, with the handler as it is now";
    this.change = button("kit-tool kit-boxed", "Edit", () => edit(board.shown()));
    this.change.setAttribute("aria-label", "Edit the input of this job");
    this.change.title = "Put the input of this job into the editor";
    this.element.append(this.again, this.change);
  }

  draw() {
    const { board } = this;
    const i = board.shown();
    this.element.hidden = i < 0 || Boolean(board.head.job);
    if (this.element.hidden) return;
    this.again.hidden = !AGAIN.includes(board.jobs.state[i]);
    this.again.disabled = board.busy("retry");
    say(this.again, board.busy("retry") ? "Sent" : "Retry");
    this.change.hidden = board.panel;
  }
}

/** The two bands that open under the head, and the buttons that open them. */
class Bands {
  constructor(view, board) {
    this.board = board;
    this.head = view.head;
    board.editing ??= new InputState(board);
    board.drafting ??= new ExportState(board);
    this.editor = new Editor(board, board.editing);
    this.export = new ExportView(board, board.drafting);
    this.elements = [this.editor.element, this.export.element];
    this.actions = new JobActions(board, (i) => this.edit(i));
    view.pane.head.append(this.actions.element);
    this.editor.onLeave = () => this.head.input.focus();
    this.export.onLeave = () => this.head.export.focus();
    this.head.toggle = (what) => this.toggle(what);
    this.head.isOpen = (what) => this.state(what).open;
    this.head.runInput = () => board.editing.open && (this.editor.run(), true);
  }

  state(what) {
    return what === "input" ? this.board.editing : this.board.drafting;
  }

  toggle(what) {
    const { board } = this;
    const state = this.state(what);
    state.open = !state.open;
    board.editing.byItself = false;
    if (state.open) this.opened(what);
    board.changed("editor");
    board.changed("export");
  }

  /** One band at a time; what was typed in the other one stays. */
  opened(what) {
    const { board } = this;
    this.state(what === "input" ? "export" : "input").open = false;
    if (what === "input") {
      this.focusNext = true;
      if (!board.editing.dirty) board.editing.ask();
    } else {
      board.drafting.outcome = null;
      board.outcome = null;
      board.drafting.plan();
    }
  }

  /** The input of a job into the editor. */
  edit(i) {
    this.board.editing.open = true;
    this.board.drafting.open = false;
    this.focusNext = true;
    this.board.editing.ask(i);
    this.board.changed("export");
  }

  /** A card without jobs shows the editor by itself; it goes with the first job if nobody used it. */
  begin() {
    const { editing, panel, head } = this.board;
    if (panel || head.job || editing.started || editing.asked) return;
    editing.open = true;
    editing.byItself = true;
    editing.ask();
  }

  draw(what) {
    const { editing } = this.board;
    if (editing.byItself && !editing.dirty && this.board.jobs.n) {
      editing.open = false;
      editing.byItself = false;
      what = "editor";
    }
    if (what === "head" && editing.open && this.version !== this.board.head.version) editing.ask();
    this.version = this.board.head.version;
    if (what === "editor" || what === "snapshot") {
      this.editor.draw();
      if (this.focusNext && editing.started && editing.open) {
        this.focusNext = false;
        this.editor.focus();
      }
    }
    if (what === "export" || what === "clicks") this.export.draw();
    this.actions.draw();
  }
}
