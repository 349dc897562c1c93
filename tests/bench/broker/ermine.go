package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Ermine is the program under test on its defaults, but for:
//
//   - mqtt.max_mqueue_len infinity: the closed loop bounds the queues, as for
//     the other brokers.
//   - mqtt.max_inflight: the same for all brokers, see Inflight.
//   - only the TCP listener, on a free port.
var Ermine = Kind{Name: "ermine", Nodes: 1, start: func(ctx context.Context, in *Instance) error {
	return startErmine(ctx, in, 1)
}}

// ErmineCluster is three nodes on this machine, joined.
var ErmineCluster = Kind{Name: "ermine-cluster", Nodes: 3, start: func(ctx context.Context, in *Instance) error {
	return startErmine(ctx, in, 3)
}}

// The fixed ports that a node's number in its name stands for.
const (
	distPortBase = 4370
	rpcPortBase  = 5370
)

func startErmine(ctx context.Context, in *Instance, nodes int) error {
	binary, err := filepath.Abs(in.opts.ErmineBinary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	numbers, err := nodeNumbers(nodes)
	if err != nil {
		return err
	}
	var first string
	for _, number := range numbers {
		port, err := freePort()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("bench%d@127.0.0.1", number)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		env := append([]string{
			"ERMINE_NODE__NAME=" + name,
			"ERMINE_NODE__COOKIE=bench",
			"ERMINE_NODE__DATA_DIR=" + filepath.Join(in.Dir, strconv.Itoa(number)),
			"ERMINE_LISTENERS__TCP__DEFAULT__BIND=" + addr,
			"ERMINE_LISTENERS__SSL__DEFAULT__ENABLE=false",
			"ERMINE_LISTENERS__WS__DEFAULT__ENABLE=false",
			"ERMINE_LISTENERS__WSS__DEFAULT__ENABLE=false",
			"ERMINE_MQTT__MAX_MQUEUE_LEN=infinity",
			"ERMINE_MQTT__MAX_INFLIGHT=" + strconv.Itoa(Inflight),
		}, in.opts.Env...)
		if err := os.MkdirAll(filepath.Join(in.Dir, strconv.Itoa(number)), 0o700); err != nil {
			return err
		}
		profile := ""
		if in.opts.Profiling {
			port, err := freePort()
			if err != nil {
				return err
			}
			profile = fmt.Sprintf("127.0.0.1:%d", port)
			env = append(env, profileEnv+"="+profile)
		}
		n, err := in.launch(ctx, name, addr, env, binary, "foreground")
		if err != nil {
			return err
		}
		n.profile = profile
		if first == "" {
			first = name
			continue
		}
		join := exec.CommandContext(ctx, binary, "ctl", "cluster", "join", first, "--yes")
		join.Env = append(os.Environ(), env...)
		if out, err := join.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: join %s: %w: %s", name, first, err, out)
		}
	}
	return nil
}

// nodeNumbers finds n numbers whose ports are free for nodes of this run.
func nodeNumbers(n int) ([]int, error) {
	var numbers []int
	for number := 101; number < 1000 && len(numbers) < n; number++ {
		if portIsFree(distPortBase+number) && portIsFree(rpcPortBase+number) {
			numbers = append(numbers, number)
		}
	}
	if len(numbers) < n {
		return nil, errors.New("no free ports for the nodes to meet on")
	}
	return numbers, nil
}
