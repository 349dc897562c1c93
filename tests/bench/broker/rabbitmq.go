package broker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// RabbitMQ is Debian's rabbitmq-server with its MQTT plug-in.
//
//   - mqtt.prefetch: the same for all brokers, see Inflight.
//   - mqtt.allow_anonymous with the default user, as shipped.
//   - log level error.
//   - collect_statistics_interval at 10 minutes: without the management plug-in
//     nobody reads them.
var RabbitMQ = Kind{Name: "rabbitmq", Nodes: 1, start: func(ctx context.Context, in *Instance) error {
	return startRabbitMQ(ctx, in, 1)
}}

// RabbitMQCluster is three such nodes on this machine, joined.
var RabbitMQCluster = Kind{Name: "rabbitmq-cluster", Nodes: 3, start: func(ctx context.Context, in *Instance) error {
	return startRabbitMQ(ctx, in, 3)
}}

// rabbitHome is where Debian keeps the programs themselves; those on the path
// change the user first.
const rabbitHome = "/usr/lib/rabbitmq/bin"

func startRabbitMQ(ctx context.Context, in *Instance, nodes int) error {
	server := filepath.Join(rabbitHome, "rabbitmq-server")
	ctl := filepath.Join(rabbitHome, "rabbitmqctl")
	if _, err := os.Stat(server); err != nil {
		return fmt.Errorf("rabbitmq-server is not installed (make bench-deps): %w", err)
	}
	// A port mapper of our own, so that none stays behind: it ends with the
	// group of the process that started it.
	epmd, err := freePort()
	if err != nil {
		return err
	}
	plugins := filepath.Join(in.Dir, "enabled_plugins")
	if err := os.WriteFile(plugins, []byte("[rabbitmq_mqtt].\n"), 0o600); err != nil {
		return err
	}
	cookie := filepath.Join(in.Dir, ".erlang.cookie")
	if err := os.WriteFile(cookie, []byte("bench"), 0o400); err != nil {
		return err
	}
	mapper, err := findProgram("epmd")
	if err != nil {
		return err
	}
	common := []string{
		"HOME=" + in.Dir,
		fmt.Sprintf("ERL_EPMD_PORT=%d", epmd),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + plugins,
	}
	if err := in.launchHelper(ctx, "epmd", epmd, common, mapper, "-address", "127.0.0.1"); err != nil {
		return err
	}

	var first string
	for i := range nodes {
		mqtt, err := freePort()
		if err != nil {
			return err
		}
		amqp, err := freePort()
		if err != nil {
			return err
		}
		dist, err := freePort()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("bench%d@localhost", i+1)
		base := filepath.Join(in.Dir, name)
		if err := os.MkdirAll(base, 0o700); err != nil {
			return err
		}
		conf := fmt.Sprintf(`listeners.tcp.1 = 127.0.0.1:%d
mqtt.listeners.tcp.1 = 127.0.0.1:%d
mqtt.allow_anonymous = true
mqtt.prefetch = %d
log.console = true
log.console.level = error
log.file = false
collect_statistics_interval = 600000
`, amqp, mqtt, Inflight)
		if err := os.WriteFile(base+".conf", []byte(conf), 0o600); err != nil {
			return err
		}
		env := append([]string{
			"RABBITMQ_NODENAME=" + name,
			"RABBITMQ_CONFIG_FILE=" + base + ".conf",
			"RABBITMQ_MNESIA_BASE=" + base,
			"RABBITMQ_LOG_BASE=" + base,
			"RABBITMQ_PID_FILE=" + base + ".pid",
			fmt.Sprintf("RABBITMQ_DIST_PORT=%d", dist),
		}, common...)
		n, err := in.launch(ctx, name, fmt.Sprintf("127.0.0.1:%d", mqtt), env, server)
		if err != nil {
			return err
		}
		run := func(ctx context.Context, args ...string) error {
			cmd := exec.CommandContext(ctx, ctl, append([]string{"-n", name}, args...)...)
			cmd.Env = append(os.Environ(), env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("rabbitmqctl %v: %w: %s", args, err, out)
			}
			return nil
		}
		n.stop = func(ctx context.Context) error { return run(ctx, "stop") }
		if first == "" {
			first = name
			continue
		}
		for _, step := range [][]string{{"stop_app"}, {"join_cluster", first}, {"start_app"}} {
			if err := run(ctx, step...); err != nil {
				return err
			}
		}
		if err := n.awaitPort(ctx); err != nil {
			return err
		}
	}
	return nil
}

// launchHelper starts a process that is no node: it is stopped with the broker,
// but has no MQTT address and is not measured.
func (in *Instance) launchHelper(ctx context.Context, name string, port int, env []string, argv ...string) error {
	n, err := in.launch(ctx, name, fmt.Sprintf("127.0.0.1:%d", port), env, argv...)
	if n != nil {
		in.nodes = in.nodes[:len(in.nodes)-1]
		in.helpers = append(in.helpers, n)
	}
	return err
}
