package broker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Mosquitto is Debian's mosquitto, in memory as shipped.
//
//   - max_inflight_messages: the same for all brokers, see Inflight.
//   - max_queued_messages 0 (no limit): the closed loop bounds the queues; with
//     the default of 1000 many publishers to one subscriber lose messages.
//   - set_tcp_nodelay false as shipped, which lets the kernel join its small
//     packets and saves a quarter of its CPU at QoS 0; true where latency is
//     what is measured, since joining costs it that.
//   - sys_interval 0, log_type error: no statistics, no line for each client.
var Mosquitto = Kind{Name: "mosquitto", Nodes: 1, start: func(ctx context.Context, in *Instance) error {
	return startMosquitto(ctx, in, "")
}}

// MosquittoDurable writes every change of a persistent session to its database
// file, which mosquitto rewrites whole each time.
var MosquittoDurable = Kind{Name: "mosquitto-durable", Nodes: 1, start: func(ctx context.Context, in *Instance) error {
	return startMosquitto(ctx, in, fmt.Sprintf(`persistence true
persistence_location %s/
autosave_on_changes true
autosave_interval 1
`, in.Dir))
}}

func startMosquitto(ctx context.Context, in *Instance, persistence string) error {
	program, err := findProgram("mosquitto", "/usr/sbin/mosquitto")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root\n" // else it becomes a user that cannot write here
	}
	conf := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
max_inflight_messages %d
max_queued_messages 0
set_tcp_nodelay %t
sys_interval 0
log_type error
log_dest stderr
%s%s`, port, Inflight, in.opts.LowLatency, user, persistence)
	file := filepath.Join(in.Dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	_, err = in.launch(ctx, "mosquitto", fmt.Sprintf("127.0.0.1:%d", port), nil, program, "-c", file)
	return err
}

// findProgram looks on the path, then at places where Debian puts what only
// root has on its path.
func findProgram(name string, places ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return place, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (make bench-deps)", name)
}
