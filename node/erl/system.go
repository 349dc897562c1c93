package erl

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
)

// otpRelease is the release of Erlang whose protocols are spoken. Shells of
// later ones ask it, to know how edlin_expand is called.
const otpRelease = "25"

// functions makes the table.
func (s *Services) functions() Table {
	t := Table{
		"ermine":       s.ermine(),
		"ermine_ctl":   s.ermineCtl(),
		"shell":        {{"start", 0}: s.shellStart, {"start", 1}: s.shellStart, {"start", 2}: s.shellStart},
		"edlin_expand": {{"expand", 1}: s.expand, {"expand", 2}: s.expand},
		"erlang":       s.erlang(),
		"net_kernel": {
			{"get_net_ticktime", 0}: constant(int64(s.opts.TickTime / time.Second)),
		},
		"application": {
			{"get_env", 1}:             constant(etf.Atom("undefined")),
			{"get_env", 2}:             constant(etf.Atom("undefined")),
			{"get_env", 3}:             func(_ context.Context, c *Call) (any, error) { return c.Args[2], nil },
			{"get_all_env", 1}:         constant(etf.List{}),
			{"which_applications", 0}:  s.applications,
			{"which_applications", 1}:  s.applications,
			{"loaded_applications", 0}: s.applications,
			{"get_key", 2}:             s.applicationKey,
		},
		"init": {
			{"get_status", 0}:          constant(etf.Tuple{etf.Atom("started"), etf.Atom("started")}),
			{"get_argument", 1}:        constant(etf.Atom("error")),
			{"get_arguments", 0}:       constant(etf.List{}),
			{"get_plain_arguments", 0}: constant(etf.List{}),
			{"stop", 0}:                refused,
			{"stop", 1}:                refused,
			{"restart", 0}:             refused,
			{"reboot", 0}:              refused,
		},
		"os": {
			{"type", 0}:        constant(etf.Tuple{etf.Atom("unix"), etf.Atom(runtime.GOOS)}),
			{"getpid", 0}:      func(context.Context, *Call) (any, error) { return etf.NewCharlist(decimal(os.Getpid())), nil },
			{"timestamp", 0}:   s.timestamp,
			{"system_time", 0}: s.systemTime,
			{"system_time", 1}: s.systemTime,
		},
		"rpc": {
			{"call", 4}: s.rpcCall,
			{"call", 5}: s.rpcCall,
		},
	}
	t["code"] = s.code()
	t["emqx"], t["emqx_ctl"] = t["ermine"], t["ermine_ctl"]
	return t
}

// constant is a function that always returns the same.
func constant(v any) Function {
	return func(context.Context, *Call) (any, error) { return v, nil }
}

// refused is a function that this node does not do for others.
func refused(context.Context, *Call) (any, error) { return nil, ErrRefused }

func (s *Services) erlang() Functions {
	return Functions{
		{"node", 0}:             constant(etf.Atom(s.net.Name())),
		{"nodes", 0}:            func(context.Context, *Call) (any, error) { return s.nodes("visible"), nil },
		{"nodes", 1}:            s.nodesOf,
		{"is_alive", 0}:         constant(etf.Atom("true")),
		{"system_info", 1}:      s.systemInfo,
		{"memory", 0}:           s.memory,
		{"memory", 1}:           s.memory,
		{"statistics", 1}:       s.statistics,
		{"whereis", 1}:          s.whereis,
		{"registered", 0}:       s.registered,
		{"processes", 0}:        s.processList,
		{"is_process_alive", 1}: s.isAlive,
		{"process_info", 1}:     s.processInfo,
		{"process_info", 2}:     s.processInfo,
		{"system_time", 0}:      s.systemTime,
		{"system_time", 1}:      s.systemTime,
		{"monotonic_time", 0}:   s.monotonicTime,
		{"monotonic_time", 1}:   s.monotonicTime,
		{"timestamp", 0}:        s.timestamp,
		{"now", 0}:              s.timestamp,
		{"localtime", 0}:        s.localTime,
		{"universaltime", 0}:    s.localTime,
		{"apply", 2}:            s.applyFun,
		{"apply", 3}:            s.applyMFA,
		{"halt", 0}:             refused,
		{"halt", 1}:             refused,
		{"halt", 2}:             refused,
	}
}

// nested runs a call on behalf of another.
func (s *Services) nested(c, inner *Call) (any, error) {
	inner.Caller, inner.GroupLeader = c.Caller, c.GroupLeader
	result, e := s.apply(inner)
	if e != nil {
		return nil, e
	}
	return result, nil
}

func (s *Services) applyMFA(_ context.Context, c *Call) (any, error) {
	inner, ok := makeCall(c.Args[0], c.Args[1], c.Args[2])
	if !ok {
		return nil, ErrBadArg
	}
	return s.nested(c, inner)
}

func (s *Services) applyFun(_ context.Context, c *Call) (any, error) {
	inner, err := funCall(c.Args[0], c.Args[1])
	if err != nil {
		return nil, err
	}
	return s.nested(c, inner)
}

// rpcCall is rpc:call/4,5 to this node, as in pipelines of tools; other nodes
// are out of reach from here.
func (s *Services) rpcCall(_ context.Context, c *Call) (any, error) {
	inner, ok := makeCall(c.Args[1], c.Args[2], c.Args[3])
	if !ok {
		return nil, ErrBadArg
	}
	if c.Args[0] != etf.Atom(s.net.Name()) {
		return etf.Tuple{etf.Atom("badrpc"), etf.Atom("nodedown")}, nil
	}
	inner.Caller, inner.GroupLeader = c.Caller, c.GroupLeader
	return rpcResult(s.apply(inner)), nil
}

func (s *Services) nodes(kind string) etf.List {
	out := etf.List{}
	for _, p := range s.net.Peers() {
		if kind == "connected" || (kind == "hidden") == p.Hidden {
			out = append(out, etf.Atom(p.Name))
		}
	}
	return out
}

func (s *Services) nodesOf(_ context.Context, c *Call) (any, error) {
	switch c.Args[0] {
	case etf.Atom("visible"), etf.Atom("hidden"), etf.Atom("connected"):
		return s.nodes(string(c.Args[0].(etf.Atom))), nil
	case etf.Atom("known"):
		return append(s.nodes("connected"), etf.Atom(s.net.Name())), nil
	case etf.Atom("this"):
		return etf.List{etf.Atom(s.net.Name())}, nil
	}
	return nil, ErrBadArg
}

func (s *Services) systemInfo(_ context.Context, c *Call) (any, error) {
	item, ok := c.Args[0].(etf.Atom)
	if !ok {
		return nil, ErrBadArg
	}
	switch item {
	case "otp_release":
		return etf.NewCharlist(otpRelease), nil
	case "version":
		return etf.NewCharlist(cmp.Or(s.opts.Version, "0")), nil
	case "system_version":
		return etf.NewCharlist("Ermine " + s.opts.Version + " [" + runtime.Version() + "]\n"), nil
	case "system_architecture":
		return etf.NewCharlist(runtime.GOARCH + "-" + runtime.GOOS), nil
	case "machine":
		return etf.NewCharlist("Ermine"), nil
	case "process_count":
		pids, err := s.net.Node().ProcessList()
		return len(pids), err
	case "schedulers", "schedulers_online", "logical_processors", "logical_processors_available", "logical_processors_online":
		return runtime.GOMAXPROCS(0), nil
	case "wordsize":
		return wordSize, nil
	case "creation":
		return int64(s.net.Creation()), nil
	case "dist", "smp_support", "threads":
		return etf.Atom("true"), nil
	case "dist_ctrl":
		return etf.List{}, nil
	}
	return nil, ErrBadArg
}

const wordSize = 8

// memory is erlang:memory/0,1 as far as Go has something like it: what lives on
// the heap counts as the processes', the rest as the system's.
func (s *Services) memory(_ context.Context, c *Call) (any, error) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	total, objects := samples[0].Value.Uint64(), samples[1].Value.Uint64()
	all := etf.List{
		etf.Tuple{etf.Atom("total"), total},
		etf.Tuple{etf.Atom("processes"), objects},
		etf.Tuple{etf.Atom("processes_used"), objects},
		etf.Tuple{etf.Atom("system"), total - min(objects, total)},
	}
	if len(c.Args) == 0 {
		return all, nil
	}
	one := func(kind any) (any, bool) {
		for _, t := range all {
			if t.(etf.Tuple)[0] == kind {
				return t, true
			}
		}
		return nil, false
	}
	if list, ok := c.Args[0].(etf.List); ok {
		some := etf.List{}
		for _, kind := range list {
			t, ok := one(kind)
			if !ok {
				return nil, ErrBadArg
			}
			some = append(some, t)
		}
		return some, nil
	}
	t, ok := one(c.Args[0])
	if !ok {
		return nil, ErrBadArg
	}
	return t.(etf.Tuple)[1], nil
}

func (s *Services) statistics(_ context.Context, c *Call) (any, error) {
	switch c.Args[0] {
	case etf.Atom("wall_clock"), etf.Atom("runtime"):
		return etf.Tuple{s.opts.Now().Sub(s.started).Milliseconds(), 0}, nil
	case etf.Atom("run_queue"), etf.Atom("total_run_queue_lengths"):
		return 0, nil
	case etf.Atom("io"):
		var in, out uint64
		for _, p := range s.net.Peers() {
			in += p.Stats.BytesIn
			out += p.Stats.BytesOut
		}
		return etf.Tuple{etf.Tuple{etf.Atom("input"), in}, etf.Tuple{etf.Atom("output"), out}}, nil
	}
	return nil, ErrBadArg
}

func (s *Services) whereis(_ context.Context, c *Call) (any, error) {
	name, ok := c.Args[0].(etf.Atom)
	if !ok {
		return nil, ErrBadArg
	}
	pid, err := s.net.Node().ProcessPID(gen.Atom(name))
	if err != nil {
		return etf.Atom("undefined"), nil
	}
	return s.net.Pid(pid), nil
}

func (s *Services) registered(context.Context, *Call) (any, error) {
	pids, err := s.net.Node().ProcessList()
	if err != nil {
		return nil, err
	}
	names := etf.List{}
	for _, pid := range pids {
		if name, err := s.net.Node().ProcessName(pid); err == nil && name != "" {
			names = append(names, etf.Atom(name))
		}
	}
	return names, nil
}

func (s *Services) processList(context.Context, *Call) (any, error) {
	pids, err := s.net.Node().ProcessList()
	if err != nil {
		return nil, err
	}
	out := etf.List{}
	for _, p := range pids {
		out = append(out, s.net.Pid(p))
	}
	return out, nil
}

// ownPID reads a pid of this node.
func (s *Services) ownPID(term any) (gen.PID, error) {
	p, ok := term.(etf.Pid)
	if !ok || string(p.Node) != s.net.Name() {
		return gen.PID{}, ErrBadArg
	}
	return s.net.PID(p), nil
}

func (s *Services) isAlive(_ context.Context, c *Call) (any, error) {
	pid, err := s.ownPID(c.Args[0])
	if err != nil {
		return nil, err
	}
	_, err = s.net.Node().ProcessState(pid)
	return err == nil, nil
}

func (s *Services) processInfo(_ context.Context, c *Call) (any, error) {
	pid, err := s.ownPID(c.Args[0])
	if err != nil {
		return nil, err
	}
	p, err := s.net.Node().ProcessInfo(pid)
	if err != nil {
		return etf.Atom("undefined"), nil
	}
	q := p.MailboxQueues
	queue := q.Main + q.System + q.Urgent
	status := etf.Atom("waiting")
	if p.State == gen.ProcessStateRunning {
		status = "running"
	}
	all := etf.List{}
	if p.Name != "" {
		all = append(all, etf.Tuple{etf.Atom("registered_name"), etf.Atom(p.Name)})
	}
	all = append(all,
		etf.Tuple{etf.Atom("current_function"), etf.Tuple{etf.Atom("ermine"), etf.Atom(strings.ToLower(p.Behavior)), 0}},
		etf.Tuple{etf.Atom("status"), status},
		etf.Tuple{etf.Atom("message_queue_len"), queue},
	)
	if len(c.Args) == 1 {
		return all, nil
	}
	for _, t := range all {
		if t.(etf.Tuple)[0] == c.Args[1] {
			return t, nil
		}
	}
	if c.Args[1] == etf.Atom("registered_name") {
		return etf.List{}, nil
	}
	return nil, ErrBadArg
}

// timeUnit reads an Erlang time unit as its length.
func timeUnit(c *Call) (time.Duration, error) {
	if len(c.Args) == 0 {
		return time.Nanosecond, nil
	}
	switch c.Args[0] {
	case etf.Atom("second"), etf.Atom("seconds"), int64(1):
		return time.Second, nil
	case etf.Atom("millisecond"), etf.Atom("milli_seconds"), int64(1000):
		return time.Millisecond, nil
	case etf.Atom("microsecond"), etf.Atom("micro_seconds"), int64(1000000):
		return time.Microsecond, nil
	case etf.Atom("nanosecond"), etf.Atom("nano_seconds"), etf.Atom("native"), int64(1000000000):
		return time.Nanosecond, nil
	}
	return 0, ErrBadArg
}

func (s *Services) systemTime(_ context.Context, c *Call) (any, error) {
	unit, err := timeUnit(c)
	if err != nil {
		return nil, err
	}
	return s.opts.Now().UnixNano() / int64(unit), nil
}

func (s *Services) monotonicTime(_ context.Context, c *Call) (any, error) {
	unit, err := timeUnit(c)
	if err != nil {
		return nil, err
	}
	return int64(s.opts.Now().Sub(s.started) / unit), nil
}

func (s *Services) timestamp(context.Context, *Call) (any, error) {
	const mega = 1_000_000
	us := s.opts.Now().UnixMicro()
	return etf.Tuple{us / mega / mega, us / mega % mega, us % mega}, nil
}

func (s *Services) localTime(_ context.Context, c *Call) (any, error) {
	t := s.opts.Now()
	if c.Function == "universaltime" {
		t = t.UTC()
	}
	return etf.Tuple{
		etf.Tuple{t.Year(), int(t.Month()), t.Day()},
		etf.Tuple{t.Hour(), t.Minute(), t.Second()},
	}, nil
}

func (s *Services) code() Functions {
	module := func(c *Call) (string, bool) {
		m, ok := c.Args[0].(etf.Atom)
		return string(m), ok && s.table.Has(string(m))
	}
	load := func(_ context.Context, c *Call) (any, error) {
		if m, ok := module(c); ok {
			return etf.Tuple{etf.Atom("module"), etf.Atom(m)}, nil
		}
		return errorTuple(etf.Atom("nofile")), nil
	}
	either := func(yes, no any) Function {
		return func(_ context.Context, c *Call) (any, error) {
			if _, ok := module(c); ok {
				return yes, nil
			}
			return no, nil
		}
	}
	return Functions{
		{"ensure_loaded", 1}:   load,
		{"load_file", 1}:       load,
		{"is_loaded", 1}:       either(etf.Tuple{etf.Atom("file"), etf.Atom("preloaded")}, etf.Atom("false")),
		{"which", 1}:           either(etf.Atom("preloaded"), etf.Atom("non_existing")),
		{"module_status", 1}:   either(etf.Atom("loaded"), etf.Atom("not_loaded")),
		{"get_object_code", 1}: constant(etf.Atom("error")),
		{"where_is_file", 1}:   constant(etf.Atom("non_existing")),
		{"lib_dir", 1}:         constant(errorTuple(etf.Atom("bad_name"))),
		{"priv_dir", 1}:        constant(errorTuple(etf.Atom("bad_name"))),
		{"get_mode", 0}:        constant(etf.Atom("embedded")),
		{"get_path", 0}:        constant(etf.List{}),
		{"all_loaded", 0}: func(context.Context, *Call) (any, error) {
			out := etf.List{}
			for _, m := range s.modules() {
				out = append(out, etf.Tuple{etf.Atom(m), etf.Atom("preloaded")})
			}
			return out, nil
		},
	}
}

// modules are the names of the table's modules, in order.
func (s *Services) modules() []string {
	var names []string
	for m := range s.table {
		names = append(names, m)
	}
	slices.Sort(names)
	return names
}

func (s *Services) applications(context.Context, *Call) (any, error) {
	return etf.List{etf.Tuple{
		etf.Atom("ermine"), etf.NewCharlist("Ermine MQTT broker"), etf.NewCharlist(cmp.Or(s.opts.Version, "0")),
	}}, nil
}

func (s *Services) applicationKey(_ context.Context, c *Call) (any, error) {
	if c.Args[0] == etf.Atom("ermine") && c.Args[1] == etf.Atom("vsn") {
		return etf.Tuple{etf.Atom("ok"), etf.NewCharlist(cmp.Or(s.opts.Version, "0"))}, nil
	}
	return etf.Atom("undefined"), nil
}
