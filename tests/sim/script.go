package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ermine/node/cluster"
)

// script runs scripted histories. Its world has a fixed seed, so that what it
// prints is always the same.
type script struct {
	*world
	singletons map[cluster.NodeName]bool
	versions   map[cluster.NodeName]cluster.Range
	printed    map[*node]int // events already shown
	shown      int           // results already shown
}

func newScript() *script {
	return &script{
		world: newWorld(1), singletons: map[cluster.NodeName]bool{},
		versions: map[cluster.NodeName]cluster.Range{}, printed: map[*node]int{},
	}
}

// full is a node's name as scripts shorten it.
func full(short string) cluster.NodeName { return cluster.NodeName(short).Complete("x@h") }

// must returns a node that was started once.
func (s *script) must(short string) (*node, error) {
	if n := s.names[full(short)]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("no node %s", short)
}

// running returns a node that is up.
func (s *script) running(short string) (*node, error) {
	n, err := s.must(short)
	if err == nil && n.core == nil {
		err = fmt.Errorf("%s is down", short)
	}
	return n, err
}

// line runs one line of a script and returns what it prints.
func (s *script) line(text string) (string, error) {
	verb, rest, _ := strings.Cut(text, " ")
	args := strings.Fields(rest)
	s.mark()
	defer s.mark()
	switch verb {
	case "node":
		for _, a := range args {
			n := s.add(full(a))
			n.cfg.Singleton = s.singletons[n.name]
			if v, ok := s.versions[n.name]; ok {
				n.cfg.Versions = []cluster.Range{v}
			}
			s.start(n)
		}
		return "", nil
	case "join":
		for pair := range strings.SplitSeq(rest, ",") {
			ends := strings.Fields(pair)
			if len(ends) != 2 {
				return "", fmt.Errorf("want: join A B")
			}
			n, err := s.running(ends[0])
			if err != nil {
				return "", err
			}
			s.give(n, "join", full(ends[1]))
		}
		return "", nil
	case "status":
		return s.status(args)
	case "results":
		out := strings.Join(s.results[s.shown:], "\n")
		s.shown = len(s.results)
		return out, nil
	case "partition":
		return "", s.partition(rest)
	case "heal":
		s.heal()
		return "", nil
	case "settle":
		s.settle()
		return "", nil
	case "reorder":
		s.reorder = rest == "on"
		return "", nil
	}
	if len(args) == 0 {
		return "", fmt.Errorf("unknown verb, or no arguments: %s", text)
	}
	return s.one(verb, args)
}

// one runs a verb whose first argument is a node or a number.
func (s *script) one(verb string, args []string) (string, error) {
	n, err := s.must(args[0])
	switch verb {
	case "run":
		d, err := time.ParseDuration(args[0])
		s.run(d)
		return "", err
	case "lose":
		s.loss, err = strconv.Atoi(args[0])
		return "", err
	case "singleton":
		s.singletons[full(args[0])] = true
		return "", nil
	case "delay":
		if len(args) != 2 {
			return "", fmt.Errorf("want: delay MIN MAX")
		}
		if s.min, err = time.ParseDuration(args[0]); err == nil {
			s.max, err = time.ParseDuration(args[1])
		}
		return "", err
	case "versions":
		if len(args) != 3 {
			return "", fmt.Errorf("want: versions A MIN MAX")
		}
		low, err1 := strconv.ParseUint(args[1], 10, 16)
		high, err2 := strconv.ParseUint(args[2], 10, 16)
		if err1 != nil || err2 != nil {
			return "", fmt.Errorf("want: versions A MIN MAX")
		}
		s.versions[full(args[0])] = cluster.Range{Protocol: cluster.ProtocolName, Min: uint16(low), Max: uint16(high)}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	switch verb {
	case "restart":
		if n.core != nil {
			return "", fmt.Errorf("%s is up", args[0])
		}
		s.start(n)
		return "", nil
	case "wipe":
		if n.core != nil {
			return "", fmt.Errorf("%s is up", args[0])
		}
		n.disk = cluster.State{}
		return "", nil
	case "skew":
		if len(args) != 2 {
			return "", fmt.Errorf("want: skew A D")
		}
		n.skew, err = time.ParseDuration(args[1])
		return "", err
	case "events":
		out := strings.Join(n.events[s.printed[n]:], "\n")
		s.printed[n] = len(n.events)
		return out, nil
	}
	if n, err = s.running(args[0]); err != nil {
		return "", err
	}
	switch verb {
	case "leave":
		s.give(n, "leave", "")
	case "force-leave", "cut":
		if len(args) != 2 {
			return "", fmt.Errorf("want: %s A B", verb)
		}
		if verb == "cut" {
			s.cut[link{n.name, full(args[1])}] = true
		} else {
			s.give(n, "force-leave", full(args[1]))
		}
	case "crash":
		s.crash(n)
	case "stop":
		s.stop(n)
	case "pause":
		n.paused = true
	case "resume":
		s.resume(n)
	default:
		return "", fmt.Errorf("unknown verb %s", verb)
	}
	return "", nil
}

// partition makes islands of the nodes between slashes.
func (s *script) partition(rest string) error {
	clear(s.cut)
	island := map[cluster.NodeName]int{}
	for i, names := range strings.Split(rest, "/") {
		for a := range strings.FieldsSeq(names) {
			if _, err := s.must(a); err != nil {
				return err
			}
			island[full(a)] = i + 1
		}
	}
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			if island[a.name] != island[b.name] {
				s.cut[link{a.name, b.name}] = true
			}
		}
	}
	return nil
}

func (s *script) status(args []string) (string, error) {
	var lines []string
	for _, n := range s.nodes {
		if len(args) > 0 && full(args[0]) != n.name {
			continue
		}
		if n.core == nil {
			lines = append(lines, string(n.name)+": down")
			continue
		}
		lines = append(lines, string(n.name)+": "+n.core.View().Text())
	}
	return strings.Join(lines, "\n"), nil
}
