package ctl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Command is one name in the tree, with its forms.
type Command struct {
	Name  string
	Forms []Form
}

// Form is one way to write a command.
type Form struct {
	// Text is the form as the usage shows it, beginning with the command's
	// name: `clients show <ClientId>`. See the package comment.
	Text string
	// Help is one sentence for the usage.
	Help string
	// Run runs it. An error that is not nil is printed and makes the exit
	// status 1.
	Run func(ctx context.Context, c *Call) error
}

// Call is one run of a form.
type Call struct {
	// Args are the arguments that stand for the form's placeholders; those left
	// out are missing at the end.
	Args []string
	// JSON asks for JSON.
	JSON bool
	// Out takes the output. It is buffered; a write fails when the client has
	// gone.
	Out io.Writer
}

// Printf writes a line of the form for people.
func (c *Call) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Out, format+"\n", args...)
	return err
}

// Answer writes v as JSON, or else the line.
func (c *Call) Answer(v any, format string, args ...any) error {
	if c.JSON {
		return c.Encode(v)
	}
	return c.Printf(format, args...)
}

// OK says that a command which has nothing else to tell has succeeded.
func (c *Call) OK() error { return c.Answer(map[string]any{"result": "ok"}, "ok") }

// Encode writes v as indented JSON.
func (c *Call) Encode(v any) error {
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Fail prints the line and makes the command fail.
func (c *Call) Fail(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if err := c.Answer(map[string]any{"error": text}, "%s", text); err != nil {
		return err
	}
	return errSaid
}

// Arg is argument i, or otherwise.
func (c *Call) Arg(i int, otherwise string) string {
	if i < len(c.Args) {
		return c.Args[i]
	}
	return otherwise
}

// list writes many items one by one: lines for people, or one JSON array.
type list struct {
	c *Call
	n int
}

// add writes an item.
func (l *list) add(v any, format string, args ...any) error {
	l.n++
	if !l.c.JSON {
		return l.c.Printf(format, args...)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	before := ",\n  "
	if l.n == 1 {
		before = "[\n  "
	}
	_, err = fmt.Fprintf(l.c.Out, "%s%s", before, text)
	return err
}

// end closes the list; none is what people are told of an empty one.
func (l *list) end(none string) error {
	switch {
	case l.c.JSON && l.n == 0:
		return l.c.Printf("[]")
	case l.c.JSON:
		return l.c.Printf("\n]")
	case l.n == 0 && none != "":
		return l.c.Printf("%s", none)
	}
	return nil
}

// match tells whether words are an instance of the form, and its arguments.
func (f Form) match(words []string) (args []string, ok bool) {
	pattern := strings.Fields(f.Text)
	for i, p := range pattern {
		optional := strings.HasPrefix(p, "[")
		switch {
		case i >= len(words):
			if !optional {
				return nil, false
			}
		case optional || strings.HasPrefix(p, "<"):
			args = append(args, words[i])
		case p != words[i]:
			return nil, false
		}
	}
	return args, len(words) <= len(pattern)
}

// Tree is the set of commands of a node. It does not change once it is used.
type Tree struct {
	// Program is what the usage calls the program: "node ctl".
	Program  string
	commands []Command
}

// NewTree makes a tree of commands.
func NewTree(program string, commands ...Command) *Tree {
	t := &Tree{Program: program}
	t.Add(commands...)
	return t
}

// Add adds commands, in the order in which the usage lists them. A name that the
// tree has already gets the further forms.
func (t *Tree) Add(commands ...Command) {
	for _, c := range commands {
		if i := t.index(c.Name); i >= 0 {
			t.commands[i].Forms = append(t.commands[i].Forms, c.Forms...)
			continue
		}
		c.Forms = slices.Clone(c.Forms)
		t.commands = append(t.commands, c)
	}
}

func (t *Tree) index(name string) int {
	return slices.IndexFunc(t.commands, func(c Command) bool { return c.Name == name })
}

// Commands are all commands, in the order of the usage.
func (t *Tree) Commands() []Command { return slices.Clone(t.commands) }

// helpWords ask for the usage.
var helpWords = []string{"help", "--help", "-h"}

// Run runs the command that args are, writing to out what it prints and, if it
// fails, why. `--json` among the arguments is the same as asJSON; `--` ends
// that. It blocks for as long as the command does, at most until ctx ends. Any
// goroutine may call it.
func (t *Tree) Run(ctx context.Context, args []string, asJSON bool, out io.Writer) error {
	call := &Call{JSON: asJSON, Out: out}
	var words []string
	for i, a := range args {
		if a == "--" {
			words = append(words, args[i+1:]...)
			break
		}
		if a == "--json" {
			call.JSON = true
			continue
		}
		words = append(words, a)
	}
	if len(words) == 0 || slices.Contains(helpWords, words[0]) {
		return t.usage(out, t.commands)
	}
	i := t.index(words[0])
	if i < 0 {
		return errors.Join(fmt.Errorf("%w: no command %q", ErrUsage, words[0]), t.misused(call, t.commands, fmt.Sprintf("No command: %s", words[0])))
	}
	command := t.commands[i]
	if len(words) == 2 && slices.Contains(helpWords, words[1]) {
		return t.usage(out, []Command{command})
	}
	for _, form := range command.Forms {
		if args, ok := form.match(words); ok {
			call.Args = args
			return t.run(ctx, form, call)
		}
	}
	return errors.Join(fmt.Errorf("%w of %q", ErrUsage, command.Name), t.misused(call, []Command{command}, ""))
}

// misused writes the usage of commands and, below it where it is seen, why. In
// JSON both are an object.
func (t *Tree) misused(call *Call, commands []Command, why string) error {
	if call.JSON {
		var forms []string
		for _, c := range commands {
			for _, f := range c.Forms {
				forms = append(forms, f.Text)
			}
		}
		return call.Encode(map[string]any{"error": cmp.Or(why, "wrong arguments"), "usage": forms})
	}
	if err := t.usage(call.Out, commands); err != nil || why == "" {
		return err
	}
	return call.Printf("%s", why)
}

func (t *Tree) run(ctx context.Context, form Form, call *Call) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(call.Fail("the command failed: %v", r), fmt.Errorf("command %q panicked: %v", form.Text, r))
		}
	}()
	err = form.Run(ctx, call)
	if err == nil || errors.Is(err, errSaid) {
		return err
	}
	return errors.Join(err, call.Fail("%s", err))
}

// rule separates the commands in the usage.
var rule = strings.Repeat("-", 110)

// usage writes the forms of commands.
func (t *Tree) usage(out io.Writer, commands []Command) error {
	width := 0
	for _, c := range commands {
		for _, f := range c.Forms {
			width = max(width, len(f.Text))
		}
	}
	var b strings.Builder
	if len(commands) > 1 {
		fmt.Fprintf(&b, "Usage: %s\n", t.Program)
	}
	for _, c := range commands {
		if len(commands) > 1 {
			b.WriteString(rule + "\n")
		}
		for _, f := range c.Forms {
			fmt.Fprintf(&b, "%-*s# %s\n", width+1, f.Text, f.Help)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// SplitLine takes a command line apart at blanks, as a shell would: '...' and
// "..." keep blanks, \ keeps the next character. It fails for a quote that does
// not end.
func SplitLine(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	open, quote, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			open, escaped = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			open, quote = true, r
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			open = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("%w: a quote does not end", ErrUsage)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}
