package console

import (
	"context"
	"io"
	"slices"
	"strings"

	"ermine/node/ctl"
)

// Commands are the commands of a node; *ctl.Tree is one.
type Commands interface {
	// Run runs one command and returns nil if it has succeeded; see ctl.Tree.
	Run(ctx context.Context, args []string, asJSON bool, out io.Writer) error
	// Commands are all commands, for completion and the usage.
	Commands() []ctl.Command
}

// Names are what arguments of commands may name, for completion. A nil function
// names nothing.
type Names struct {
	// Nodes returns the nodes that are known.
	Nodes func() []string
	// Clients returns client IDs that begin with prefix, at most limit.
	Clients func(prefix string, limit int) []string
}

// Backend is where a console's commands run. Its methods may be called by any
// goroutine.
type Backend interface {
	// Node is the name of the node.
	Node() string
	// Run runs one command, writes what it prints to out and returns its exit
	// status. It blocks until the command has ended; it asks it to end when ctx
	// does. The error is ErrLost (wrapped) when the node has gone.
	Run(ctx context.Context, args []string, out io.Writer) (status int, err error)
	// Complete tells what may stand at the end of line.
	Complete(ctx context.Context, line string) Completion
	// Done is closed when the node has gone; nil if that cannot be.
	Done() <-chan struct{}
	// Err says why, once Done is closed.
	Err() error
}

// local runs commands in this process.
type local struct {
	node     string
	commands Commands
	names    Names
}

// NewLocal makes a Backend of the commands of the node in this process.
func NewLocal(node string, commands Commands, names Names) Backend {
	return &local{node: node, commands: commands, names: names}
}

func (l *local) Node() string          { return l.node }
func (l *local) Done() <-chan struct{} { return nil }
func (l *local) Err() error            { return nil }

func (l *local) Run(ctx context.Context, args []string, out io.Writer) (int, error) {
	return runCommand(ctx, l.commands, args, out), nil
}

func (l *local) Complete(_ context.Context, line string) Completion {
	return Complete(l.commands.Commands(), l.names, line)
}

// runCommand runs a command and returns its exit status.
func runCommand(ctx context.Context, commands Commands, args []string, out io.Writer) int {
	w := newCollector(out)
	err := commands.Run(ctx, args, false, w)
	if flush := w.Close(); err != nil || flush != nil {
		return 1
	}
	return 0
}

// Completion is what may stand at the end of a line.
type Completion struct {
	// Start is the byte of the line at which the last word begins.
	Start int
	// Words may stand there, sorted; all begin with what stands there already.
	Words []string
}

// maxWords bounds the words of a Completion.
const maxWords = 200

// Common is the longest beginning that all Words share.
func (c Completion) Common() string {
	if len(c.Words) == 0 {
		return ""
	}
	// The words are sorted: what the first and the last share, all do.
	first, last := []rune(c.Words[0]), []rune(c.Words[len(c.Words)-1])
	n := 0
	for n < len(first) && n < len(last) && first[n] == last[n] {
		n++
	}
	return string(first[:n])
}

// Apply returns line with the last word completed as far as that is certain: a
// blank follows the only candidate.
func (c Completion) Apply(line string) string {
	switch {
	case len(c.Words) == 0 || c.Start > len(line):
		return line
	case len(c.Words) == 1:
		return line[:c.Start] + c.Words[0] + " "
	default:
		return line[:c.Start] + c.Common()
	}
}

// Complete is the completion of line, the text before the cursor: words of the
// forms of commands, and where a form has a placeholder for a client ID or a
// node, those. Words that would need quotes are left out.
func Complete(commands []ctl.Command, names Names, line string) Completion {
	start := strings.LastIndexAny(line, " \t") + 1
	prefix := line[start:]
	before := strings.Fields(line[:start])
	found := map[string]bool{}
	for _, c := range commands {
		for _, f := range c.Forms {
			word, ok := next(strings.Fields(f.Text), before)
			if !ok {
				continue
			}
			for _, w := range candidates(word, names, prefix) {
				if strings.HasPrefix(w, prefix) && w != "" && !strings.ContainsAny(w, " \t\n\r\\'\"") {
					found[w] = true
				}
			}
		}
	}
	out := Completion{Start: start}
	for w := range found {
		out.Words = append(out.Words, w)
	}
	slices.Sort(out.Words)
	out.Words = out.Words[:min(len(out.Words), maxWords)]
	return out
}

// merge joins two completions of the same line.
func merge(a, b Completion) Completion {
	switch {
	case len(b.Words) == 0:
		return a
	case len(a.Words) == 0:
		return b
	}
	words := slices.Concat(a.Words, b.Words)
	slices.Sort(words)
	return Completion{Start: a.Start, Words: slices.Compact(words)}
}

// next is the word of a form that follows what has been written.
func next(form, before []string) (string, bool) {
	if len(before) >= len(form) {
		return "", false
	}
	for i, w := range before {
		if !isPlaceholder(form[i]) && form[i] != w {
			return "", false
		}
	}
	return form[len(before)], true
}

func isPlaceholder(word string) bool {
	return strings.HasPrefix(word, "<") || strings.HasPrefix(word, "[")
}

// candidates are the words that may stand for one of a form.
func candidates(word string, names Names, prefix string) []string {
	if !isPlaceholder(word) {
		return []string{word}
	}
	what := strings.ToLower(strings.Trim(word, "[]<>"))
	switch {
	case strings.HasPrefix(what, "--"):
		return []string{what}
	case strings.Contains(what, "client") && names.Clients != nil:
		return names.Clients(prefix, maxWords)
	case (strings.Contains(what, "node") || what == "name") && names.Nodes != nil:
		return names.Nodes()
	}
	return nil
}
