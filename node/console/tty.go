package console

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// TTYConfig is what a TTY is opened with.
type TTYConfig struct {
	// In and Out are nil for standard input and output.
	In, Out *os.File

	// HistoryFile keeps the lines; empty is none.
	HistoryFile string

	// Complete answers Tab; nil is no completion.
	Complete func(line string) Completion
}

// TTY is the Terminal of a person at a terminal of the operating system. The
// terminal is in raw mode from OpenTTY to Close, so that Ctrl-C is a key like
// others and no signal reaches the program. Where standard input is no terminal
// lines are read as they are, without prompt and echo.
type TTY struct {
	cfg   TTYConfig
	term  *term.Terminal
	state *term.State // nil where the input is no terminal
	plain *bufio.Scanner
	color bool

	history    *history
	interrupts chan struct{}
	reading    atomic.Bool
	broken     atomic.Bool // Ctrl-C in the line

	keys    *keys
	winch   chan os.Signal
	aborted chan struct{}
	err     error // once aborted is closed
	once    sync.Once
}

// OpenTTY takes over the terminal.
func OpenTTY(cfg TTYConfig) (*TTY, error) {
	if cfg.In == nil {
		cfg.In = os.Stdin
	}
	if cfg.Out == nil {
		cfg.Out = os.Stdout
	}
	t := &TTY{cfg: cfg, interrupts: make(chan struct{}, 1), aborted: make(chan struct{})}
	t.color = term.IsTerminal(int(cfg.Out.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
	t.history = openHistory(cfg.HistoryFile)
	if !term.IsTerminal(int(cfg.In.Fd())) {
		t.plain = bufio.NewScanner(cfg.In)
		t.plain.Buffer(nil, maxLine)
		return t, nil
	}
	state, err := term.MakeRaw(int(cfg.In.Fd()))
	if err != nil {
		t.history.close()
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	t.state = state
	cookedOutput(int(cfg.In.Fd()))
	t.keys = &keys{tty: t, wake: make(chan struct{}, 1)}
	t.term = term.NewTerminal(t.keys, "")
	t.term.History = t.history
	t.term.AutoCompleteCallback = t.complete
	t.resize()
	t.winch = make(chan os.Signal, 1)
	signal.Notify(t.winch, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-t.winch:
				t.resize()
			case <-t.aborted:
				return
			}
		}
	}()
	go t.keys.pump(cfg.In)
	return t, nil
}

// maxLine bounds a line from a pipe.
const maxLine = 1 << 20

// cookedOutput has the kernel turn newlines into what terminals expect also in
// raw mode, for whoever else prints there, such as the node's log.
func cookedOutput(fd int) {
	if t, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		t.Oflag |= unix.OPOST | unix.ONLCR
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
}

func (t *TTY) resize() {
	if columns, rows := t.Size(); columns > 0 {
		_ = t.term.SetSize(columns, rows)
	}
}

// Close gives the terminal back as it was.
func (t *TTY) Close() {
	t.Abort(io.EOF)
	if t.state != nil {
		signal.Stop(t.winch)
		_ = term.Restore(int(t.cfg.In.Fd()), t.state)
	}
	t.history.close()
}

// ReadLine implements Terminal.
func (t *TTY) ReadLine(prompt string) (string, error) {
	select {
	case <-t.aborted:
		return "", t.err
	default:
	}
	if t.plain != nil {
		return t.readPlain()
	}
	t.broken.Store(false)
	t.term.SetPrompt(prompt)
	t.reading.Store(true)
	line, err := t.term.ReadLine()
	t.reading.Store(false)
	switch {
	case t.broken.Load():
		return "", ErrInterrupt
	case errors.Is(err, term.ErrPasteIndicator):
		return line, nil
	default:
		return line, err
	}
}

// readPlain reads a line of a pipe; Abort does not wait for the writer.
func (t *TTY) readPlain() (string, error) {
	type result struct {
		line string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		switch {
		case t.plain.Scan():
			results <- result{line: t.plain.Text()}
		case t.plain.Err() != nil:
			results <- result{err: t.plain.Err()}
		default:
			results <- result{err: io.EOF}
		}
	}()
	select {
	case r := <-results:
		return r.line, r.err
	case <-t.aborted:
		return "", t.err
	}
}

// Write implements Terminal.
func (t *TTY) Write(p []byte) (int, error) {
	if t.term == nil {
		return t.cfg.Out.Write(p)
	}
	return t.term.Write(p)
}

// Interrupts implements Terminal.
func (t *TTY) Interrupts() <-chan struct{} { return t.interrupts }

// Abort implements Terminal.
func (t *TTY) Abort(err error) {
	t.once.Do(func() {
		t.err = err
		close(t.aborted)
	})
}

// Size implements Terminal.
func (t *TTY) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(t.cfg.Out.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// Color implements Terminal.
func (t *TTY) Color() bool { return t.color }

// History implements Terminal.
func (t *TTY) History() []string { return t.history.all() }

const keyTab = '\t'

// complete is called by the line editor for each key.
func (t *TTY) complete(line string, pos int, key rune) (string, int, bool) {
	if key != keyTab || t.cfg.Complete == nil {
		return "", 0, false
	}
	found := t.cfg.Complete(line[:pos])
	head := found.Apply(line[:pos])
	if head == line[:pos] && len(found.Words) > 1 {
		fmt.Fprintf(t.term, "%s\n", Columns(found.Words, t.width()))
	}
	return head + line[pos:], len(head), true
}

func (t *TTY) width() int {
	columns, _ := t.Size()
	return columns
}

// Columns lays words out in columns of a screen.
func Columns(words []string, width int) string {
	const gap, usual = 2, 80
	if width <= 0 {
		width = usual
	}
	widest := 0
	for _, w := range words {
		widest = max(widest, len([]rune(w)))
	}
	columns := max(1, width/(widest+gap))
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == len(words)-1:
			b.WriteString(w)
		case i%columns == columns-1:
			b.WriteString(w + "\n")
		default:
			fmt.Fprintf(&b, "%-*s", widest+gap, w)
		}
	}
	return b.String()
}

// keys is the keyboard as the line editor reads it.
type keys struct {
	tty *TTY

	mu    sync.Mutex
	typed []byte // what has not been read yet
	ended bool
	wake  chan struct{} // has a value when typed or ended has changed
}

const (
	ctrlC = 3

	// maxTyped bounds what is typed while nobody reads; more is dropped.
	maxTyped = 64 << 10
)

// clearLine are the keys to the end of the line, delete to its beginning, Enter.
var clearLine = []byte{5, 21, '\r'}

// pump reads the keyboard for ever, so that a Ctrl-C is seen while a command
// runs; what else is typed meanwhile waits for the next line.
func (k *keys) pump(in io.Reader) {
	buf := make([]byte, 256)
	for {
		n, err := in.Read(buf)
		k.mu.Lock()
		for _, b := range buf[:n] {
			k.press(b)
		}
		k.ended = err != nil
		k.mu.Unlock()
		select {
		case k.wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// press takes one byte; k.mu is held.
func (k *keys) press(b byte) {
	switch {
	case b == ctrlC && k.tty.reading.Load():
		k.tty.broken.Store(true)
		k.typed = append(k.typed[:0], clearLine...)
	case b == ctrlC:
		k.typed = k.typed[:0]
		select {
		case k.tty.interrupts <- struct{}{}:
		default:
		}
	case len(k.typed) < maxTyped:
		k.typed = append(k.typed, b)
	}
}

// Read implements io.Reader for the line editor.
func (k *keys) Read(p []byte) (int, error) {
	for {
		k.mu.Lock()
		n := copy(p, k.typed)
		k.typed = k.typed[:copy(k.typed, k.typed[n:])]
		ended := k.ended
		k.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if ended {
			return 0, io.EOF
		}
		select {
		case <-k.wake:
		case <-k.tty.aborted:
			return 0, k.tty.err
		}
	}
}

// Write implements io.Writer for the line editor.
func (k *keys) Write(p []byte) (int, error) { return k.tty.cfg.Out.Write(p) }

// historySize bounds the lines that are kept.
const historySize = 1000

// history is the lines typed, the latest last, in memory and in a file.
type history struct {
	mu    sync.Mutex
	lines []string
	file  *os.File
}

// openHistory reads the file; one that cannot be used is done without.
func openHistory(path string) *history {
	h := &history{}
	if path == "" {
		return h
	}
	if b, err := os.ReadFile(path); err == nil {
		for line := range strings.Lines(string(b)) {
			h.remember(strings.TrimRight(line, "\r\n"))
		}
		if len(b) > 4*historySize*64 { // rewritten when it has grown long
			_ = os.WriteFile(path, []byte(strings.Join(h.lines, "\n")+"\n"), 0o600)
		}
	}
	h.file, _ = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return h
}

// remember takes a line unless it is empty or the last once more.
func (h *history) remember(line string) bool {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return false
	}
	h.lines = append(h.lines, line)
	if len(h.lines) > historySize {
		h.lines = slices.Delete(h.lines, 0, len(h.lines)-historySize)
	}
	return true
}

// Add implements term.History.
func (h *history) Add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.remember(line) && h.file != nil {
		_, _ = h.file.WriteString(line + "\n")
	}
}

// Len implements term.History.
func (h *history) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.lines)
}

// At implements term.History: 0 is the latest.
func (h *history) At(i int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lines[len(h.lines)-1-i]
}

func (h *history) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != nil {
		_ = h.file.Close()
		h.file = nil
	}
}
