package epmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Provision says what a Keeper may do when no daemon answers on the host.
type Provision int

const (
	// ProvisionAuto starts the system's epmd, and serves itself when that is
	// not installed. It is the default.
	ProvisionAuto Provision = iota

	// ProvisionNone only uses a daemon that somebody else runs.
	ProvisionNone

	// ProvisionEmbedded never starts a program and serves itself at once.
	ProvisionEmbedded
)

// KeeperConfig tells a Keeper what to register and where.
type KeeperConfig struct {
	// Node is the entry to hold.
	Node Node

	// Host is where the node lives: the address under which it listens. The
	// daemon is asked on the loopback address, as Erlang nodes do, and on Host
	// if there is none.
	Host string

	// Port is the daemon's; 0 is DefaultPort.
	Port uint16

	// Provision says who runs the daemon when there is none.
	Provision Provision

	// MinRetry and MaxRetry bound the pause between attempts to register again,
	// which doubles with each; 0 are 100 ms and 5 s.
	MinRetry, MaxRetry time.Duration

	// Logger receives life-cycle lines; it must not be nil.
	Logger *slog.Logger

	// OnRegister, if set, is called after each registration, with the daemon's
	// creation. It must not block.
	OnRegister func(creation uint32)
}

// Keeper holds a node's registration for the life of the node: it finds or
// provides a daemon, registers, and registers again whenever the daemon is
// restarted.
type Keeper struct {
	cfg    KeeperConfig
	client Client
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	server *Server
}

// Keep registers the node and goes on doing so until Close. It returns an error
// when the first registration fails: ErrNameTaken when another node has the
// name, a dial error when there is no daemon and Provision forbids one.
func Keep(ctx context.Context, cfg KeeperConfig) (*Keeper, error) {
	if err := cfg.Node.validate(); err != nil {
		return nil, err
	}
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	if cfg.MinRetry <= 0 {
		cfg.MinRetry = 100 * time.Millisecond
	}
	if cfg.MaxRetry < cfg.MinRetry {
		cfg.MaxRetry = max(5*time.Second, cfg.MinRetry)
	}
	k := &Keeper{cfg: cfg, client: Client{Port: cfg.Port}, done: make(chan struct{})}
	reg, err := k.register(ctx)
	if err != nil {
		k.closeServer()
		return nil, err
	}
	runCtx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	go k.run(runCtx, reg)
	return k, nil
}

// Close gives the name back and ends an embedded server. It waits for both.
func (k *Keeper) Close() error {
	k.cancel()
	<-k.done
	k.closeServer()
	return nil
}

// Embedded reports whether this Keeper serves the port mapper itself now.
func (k *Keeper) Embedded() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.server != nil
}

func (k *Keeper) closeServer() {
	k.mu.Lock()
	server := k.server
	k.server = nil
	k.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (k *Keeper) run(ctx context.Context, reg *Registration) {
	defer close(k.done)
	for {
		select {
		case <-ctx.Done():
			_ = reg.Close()
			return
		case <-reg.Done():
		}
		k.cfg.Logger.Warn("epmd registration lost", "node", k.cfg.Node.Name)
		pause := k.cfg.MinRetry
		for {
			var err error
			if reg, err = k.register(ctx); err == nil {
				k.cfg.Logger.Info("epmd registration renewed", "node", k.cfg.Node.Name)
				break
			}
			k.cfg.Logger.Debug("epmd registration", "node", k.cfg.Node.Name, "err", err)
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			pause = min(2*pause, k.cfg.MaxRetry)
		}
	}
}

// register makes one attempt, providing a daemon if there is none.
func (k *Keeper) register(ctx context.Context) (*Registration, error) {
	reg, err := k.registerAt(ctx)
	if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		return reg, err
	}
	if perr := k.provide(ctx); perr != nil {
		return nil, fmt.Errorf("%w; %w", err, perr)
	}
	return k.registerAt(ctx)
}

// registerAt tries the loopback addresses first: a daemon always listens there,
// and some refuse registrations from elsewhere.
func (k *Keeper) registerAt(ctx context.Context) (*Registration, error) {
	var first error
	for _, host := range localHosts(k.cfg.Host) {
		reg, err := k.client.Register(ctx, host, k.cfg.Node)
		if err == nil {
			if k.cfg.OnRegister != nil {
				k.cfg.OnRegister(reg.Creation)
			}
			return reg, nil
		}
		if first == nil || errors.Is(err, ErrNameTaken) {
			first = err
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			break
		}
	}
	return nil, first
}

// localHosts lists where the daemon of the own host may be asked.
func localHosts(host string) []string {
	hosts := []string{"127.0.0.1"}
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		if host != "" && host != "localhost" {
			hosts = append(hosts, host)
		}
	case ip.To4() == nil:
		hosts = append(hosts, "::1")
		if !ip.IsLoopback() {
			hosts = append(hosts, host)
		}
	case !ip.Equal(net.IPv4(127, 0, 0, 1)):
		hosts = append(hosts, host)
	}
	return hosts
}

// provide makes a daemon answer on this host, as far as the config allows.
func (k *Keeper) provide(ctx context.Context) error {
	if k.cfg.Provision == ProvisionNone {
		return errors.New("no epmd is running and none may be started")
	}
	if k.cfg.Provision == ProvisionAuto {
		if path, err := exec.LookPath("epmd"); err == nil {
			if err := k.startDaemon(ctx, path); err == nil {
				return nil
			}
			k.cfg.Logger.Warn("epmd did not start, serving its protocol instead", "err", err)
		}
	}
	k.closeServer()
	server, err := Listen(ctx, k.cfg.Logger, k.cfg.Port, localHosts(k.cfg.Host)...)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.server = server
	k.mu.Unlock()
	k.cfg.Logger.Info("serving as port mapper", "port", k.cfg.Port)
	return nil
}

// startDaemon runs `epmd -daemon`, restricted to the node's own address where
// that is one (epmd adds the loopback addresses itself), and waits until it
// answers.
func (k *Keeper) startDaemon(ctx context.Context, path string) error {
	args := []string{"-daemon", "-port", strconv.Itoa(int(k.cfg.Port))}
	if ip := net.ParseIP(k.cfg.Host); ip != nil && !ip.IsUnspecified() {
		args = append(args, "-address", ip.String())
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	if err := exec.CommandContext(ctx, path, args...).Run(); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	for {
		_, err := k.client.Names(ctx, "127.0.0.1")
		if err == nil {
			k.cfg.Logger.Info("started epmd", "path", path, "port", k.cfg.Port)
			return nil
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for %s: %w", path, err)
		case <-timer.C:
		}
	}
}
