package ctl

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/metrics"
	"ermine/actors/sys"
	"ermine/node/logs"
)

func (e *Env) ping() Command {
	return Command{"ping", []Form{{"ping", "Tell whether the node answers", func(_ context.Context, c *Call) error {
		return c.Answer(map[string]string{"result": "pong"}, "pong")
	}}}}
}

func (e *Env) status() Command {
	return Command{"status", []Form{{"status", "Show broker status", func(_ context.Context, c *Call) error {
		state := e.State()
		err := c.Answer(map[string]string{"node": e.Name, "version": e.Version, "status": state},
			"Node '%s' %s is %s", e.Name, e.Version, state)
		if err == nil && state != "started" {
			err = errSaid
		}
		return err
	}}}}
}

func (e *Env) brokerCommand() Command {
	values := func(read func() []metrics.Value) func(context.Context, *Call) error {
		return func(_ context.Context, c *Call) error {
			if c.JSON {
				m := map[string]int64{}
				for _, v := range read() {
					m[v.Name] = v.Value
				}
				return c.Encode(m)
			}
			for _, v := range read() {
				if err := c.Printf("%-30s: %d", v.Name, v.Value); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return Command{"broker", []Form{
		{"broker", "Show broker version, uptime and description", func(_ context.Context, c *Call) error {
			now := time.Now()
			facts := [][2]string{
				{"sysdescr", e.Description},
				{"version", e.Version},
				{"datetime", now.Format(time.RFC3339)},
				{"uptime", sys.Uptime(now.Sub(e.Started))},
			}
			if c.JSON {
				m := map[string]string{}
				for _, f := range facts {
					m[f[0]] = f[1]
				}
				return c.Encode(m)
			}
			for _, f := range facts {
				if err := c.Printf("%-10s: %s", f[0], f[1]); err != nil {
					return err
				}
			}
			return nil
		}},
		{"broker stats", "Show broker statistics of clients, topics, subscribers", values(e.Metrics.Stats)},
		{"broker metrics", "Show broker metrics", values(e.Metrics.Counters)},
	}}
}

// vmFacts are the numbers of the Go runtime and the process in the groups in
// which EMQX shows those of the Erlang VM.
func vmFacts() [][2]string {
	var facts [][2]string
	add := func(name string, value any) { facts = append(facts, [2]string{name, fmt.Sprint(value)}) }
	load, _ := os.ReadFile("/proc/loadavg")
	for i, f := range strings.Fields(string(load)) {
		if i < 3 {
			add("cpu/load"+[]string{"1", "5", "15"}[i], f)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	add("memory/total", residentSize())
	add("memory/runtime", m.Sys)
	add("memory/heap", m.HeapInuse)
	add("memory/heap_idle", m.HeapIdle-m.HeapReleased)
	add("memory/stacks", m.StackInuse)
	add("memory/other", m.OtherSys+m.GCSys+m.MSpanSys+m.MCacheSys+m.BuckHashSys)
	add("process/goroutines", runtime.NumGoroutine())
	add("process/processors", runtime.GOMAXPROCS(0))
	add("process/gc_runs", m.NumGC)
	limit := unix.Rlimit{}
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	files, sockets := openFiles()
	add("io/max_fds", limit.Cur)
	add("io/active_fds", files)
	add("ports/count", sockets)
	add("ports/limit", limit.Cur)
	return facts
}

// residentSize is the process's memory in bytes as the kernel counts it.
func residentSize() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// openFiles counts the open files, and the sockets among them; it reads the
// directory in portions.
func openFiles() (files, sockets int) {
	const portion = 1024
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, 0
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(portion)
		for _, name := range names {
			files++
			if to, err := os.Readlink("/proc/self/fd/" + name); err == nil && strings.HasPrefix(to, "socket:") {
				sockets++
			}
		}
		if err != nil {
			return files, sockets
		}
	}
}

func (e *Env) vm() Command {
	show := func(group string) func(context.Context, *Call) error {
		return func(_ context.Context, c *Call) error {
			m := map[string]any{}
			for _, f := range vmFacts() {
				if group != "" && !strings.HasPrefix(f[0], group+"/") {
					continue
				}
				if c.JSON {
					if n, err := strconv.ParseFloat(f[1], 64); err == nil {
						m[f[0]] = n
					}
					continue
				}
				if err := c.Printf("%-24s: %s", f[0], f[1]); err != nil {
					return err
				}
			}
			if c.JSON {
				return c.Encode(m)
			}
			return nil
		}
	}
	return Command{"vm", []Form{
		{"vm", "Show all of the below", show("")},
		{"vm all", "Show all of the below", show("")},
		{"vm load", "Show system load", show("cpu")},
		{"vm memory", "Show memory, in bytes", show("memory")},
		{"vm process", "Show goroutines, processors and garbage collections", show("process")},
		{"vm io", "Show open files and their limit", show("io")},
		{"vm ports", "Show open sockets and their limit", show("ports")},
	}}
}

// treeLimit is how many children of one actor `tree` lists where no limit is
// given.
const treeLimit = 16

func (e *Env) tree() Command {
	show := func(limit int) func(context.Context, *Call) error {
		return func(_ context.Context, c *Call) error {
			if len(c.Args) > 0 {
				n, err := strconv.Atoi(c.Args[0])
				if err != nil || n < 0 {
					return c.Fail("Bad limit: %s", c.Args[0])
				}
				limit = n
				if n == 0 {
					limit = -1
				}
			}
			nodes := e.Tree(limit)
			if c.JSON {
				return c.Encode(nodes)
			}
			if err := c.Printf("%-46s %-15s %-10s %8s %8s %8s", "NAME", "KIND", "STATE", "RESTARTS", "MAILBOX", "CHILDREN"); err != nil {
				return err
			}
			return writeTree(c.Out, nodes, "")
		}
	}
	return Command{"tree", []Form{
		{"tree", "Show the live tree of processes and actors", show(treeLimit)},
		{"tree <Limit>", "The same; where there are more children than that, their sums by kind", show(0)},
	}}
}

// writeTree draws the tree; lead is the drawing left of the nodes.
func writeTree(w io.Writer, nodes []kernel.TreeNode, lead string) error {
	for i, n := range nodes {
		branch, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			branch, below = "└─ ", "   "
		}
		if lead == "" && len(nodes) == 1 {
			branch, below = "", "  "
		}
		name := lead + branch + n.Name
		pad := strings.Repeat(" ", max(0, 46-len([]rune(name))))
		dropped := ""
		if n.Dropped > 0 {
			dropped = fmt.Sprintf("  dropped %d", n.Dropped)
		}
		if _, err := fmt.Fprintf(w, "%s%s %-15s %-10s %8d %8d %8d%s\n", name, pad, n.Kind, n.State, n.Restarts, n.Mailbox, n.Children, dropped); err != nil {
			return err
		}
		for j, g := range n.Groups {
			mark := "├─ "
			if j == len(n.Groups)-1 && len(n.Nodes) == 0 {
				mark = "└─ "
			}
			name := fmt.Sprintf("%s%s%s%d × %s", lead, below, mark, g.Count, g.Kind)
			pad := strings.Repeat(" ", max(0, 46-len([]rune(name))))
			state := "running"
			if g.Suspended > 0 {
				state = fmt.Sprintf("%d not running", g.Suspended)
			}
			if _, err := fmt.Fprintf(w, "%s%s %-15s %-10s %8d %8d %8d\n", name, pad, g.Kind, state, g.Restarts, g.Mailbox, g.Children); err != nil {
				return err
			}
		}
		if err := writeTree(w, n.Nodes, lead+below); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) log() Command {
	level := func(c *Call, word string, set func(level slog.Level)) error {
		l, err := logs.ParseLevel(word)
		if err != nil {
			return c.Fail("[error] %s", err)
		}
		set(l)
		return c.Answer(map[string]string{"level": word}, "%s", word)
	}
	handler := func(do func(id string) error, said string) func(context.Context, *Call) error {
		return func(_ context.Context, c *Call) error {
			if err := do(c.Args[0]); err != nil {
				return c.Fail("[error] %s", err)
			}
			return c.Answer(map[string]string{"result": "ok"}, "log handler %s %s", c.Args[0], said)
		}
	}
	return Command{"log", []Form{
		{"log set-level <Level>", "Set the overall log level", func(_ context.Context, c *Call) error {
			return level(c, c.Args[0], e.Logs.SetAll)
		}},
		{"log primary-level", "Show the primary log level now", func(_ context.Context, c *Call) error {
			word := logs.Word(e.Logs.Primary())
			return c.Answer(map[string]string{"level": word}, "%s", word)
		}},
		{"log primary-level <Level>", "Set the primary log level", func(_ context.Context, c *Call) error {
			return level(c, c.Args[0], e.Logs.SetPrimary)
		}},
		{"log handlers list", "Show log handlers", func(_ context.Context, c *Call) error {
			l := list{c: c}
			for _, h := range e.Logs.Handlers() {
				if err := l.add(h, "LogHandler(id=%s, level=%s, destination=%s, status=%s)", h.ID, h.Level, h.Destination, h.Status); err != nil {
					return err
				}
			}
			return l.end("No log handlers.")
		}},
		{"log handlers start <HandlerId>", "Start a log handler", handler(func(id string) error { return e.Logs.Enable(id, true) }, "started")},
		{"log handlers stop <HandlerId>", "Stop a log handler", handler(func(id string) error { return e.Logs.Enable(id, false) }, "stopped")},
		{"log handlers set-level <HandlerId> <Level>", "Set log level of a log handler", func(_ context.Context, c *Call) error {
			l, err := logs.ParseLevel(c.Args[1])
			if err == nil {
				err = e.Logs.SetHandler(c.Args[0], l)
			}
			if err != nil {
				return c.Fail("[error] %s", err)
			}
			return c.Answer(map[string]string{"level": c.Args[1]}, "%s", c.Args[1])
		}},
	}}
}

func (e *Env) conf() Command {
	show := func(_ context.Context, c *Call) error {
		text := e.Conf.Show(c.Arg(0, ""))
		if len(text) == 0 {
			return c.Fail("No such key: %s", c.Arg(0, ""))
		}
		return c.Answer(map[string]string{"hocon": string(text)}, "%s", strings.TrimRight(string(text), "\n"))
	}
	return Command{"conf", []Form{
		{"conf show_keys", "Print all the currently used configuration keys", func(_ context.Context, c *Call) error {
			l := list{c: c}
			for _, key := range e.Conf.Keys() {
				if err := l.add(key, "%s", key); err != nil {
					return err
				}
			}
			return l.end("")
		}},
		{"conf show", "Print the configuration in effect, secrets masked", show},
		{"conf show <Key>", "Print the configuration below one key", show},
	}}
}

func (e *Env) fault() Command {
	return Command{"fault", []Form{
		{"fault list", "Show the points at which faults can be injected", func(_ context.Context, c *Call) error {
			l := list{c: c}
			for _, p := range fault.Points() {
				if err := l.add(p, "%-32s passes=%d fired=%d armed=%s", p.Name, p.Passes, p.Fired, strings.Join(p.Armed, "; ")); err != nil {
					return err
				}
			}
			return l.end("No fault points.")
		}},
		{"fault arm <Point> <Spec>", "Inject a fault: 'panic once', 'error 10%', 'delay 20ms', 'exit on 100'", func(_ context.Context, c *Call) error {
			if _, err := fault.ArmText(c.Args[0] + "=" + c.Args[1]); err != nil {
				return c.Fail("%s", err)
			}
			return c.OK()
		}},
		{"fault disarm", "Take all faults back", func(_ context.Context, c *Call) error {
			fault.DisarmAll()
			return c.OK()
		}},
		{"fault disarm <Point>", "Take the faults of one point back", func(_ context.Context, c *Call) error {
			if err := fault.Disarm(c.Args[0]); err != nil {
				return c.Fail("%s", err)
			}
			return c.OK()
		}},
	}}
}
