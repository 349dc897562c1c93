package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ermine/etc"
	"ermine/node/config"
)

// product is the name in all messages.
const product = "Ermine"

// Limits of waiting, where the environment says nothing else.
const (
	defaultWaitForStart = 120 * time.Second
	defaultWaitForStop  = 120 * time.Second
)

// program is one invocation.
type program struct {
	args     []string
	env      []string
	in       io.Reader
	out, err io.Writer

	confFile string // --config
}

// settings are the configuration of an invocation and where it came from.
type settings struct {
	*config.Config
	report *config.Report
	file   string // empty: the defaults
	node   instance
}

// getenv looks a variable up as ERMINE_name, then EMQX_name.
func (p *program) getenv(name string) string {
	for _, prefix := range []string{"ERMINE_", "EMQX_"} {
		for _, kv := range p.env {
			if k, v, _ := strings.Cut(kv, "="); k == prefix+name {
				return v
			}
		}
	}
	return ""
}

// configFile finds the file: --config, ERMINE_CONF, node.conf in ERMINE_ETC_DIR,
// etc/node.conf of the release. Empty means the defaults; one that was asked for
// must exist.
func (p *program) configFile() (string, error) {
	for _, asked := range []string{p.confFile, p.getenv("CONF")} {
		if asked != "" {
			return asked, nil
		}
	}
	if dir := p.getenv("ETC_DIR"); dir != "" {
		file := filepath.Join(dir, etc.NodeConf)
		if _, err := os.Stat(file); err != nil {
			return "", fmt.Errorf("%s is not found in %s", etc.NodeConf, dir)
		}
		return file, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the release: %w", err)
	}
	file := filepath.Join(filepath.Dir(filepath.Dir(self)), "etc", etc.NodeConf)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("find the configuration: %w", err)
	}
	return "", nil
}

// load reads the configuration. For a start everything must be right; otherwise it
// is enough to know which node is meant, since a mistake made while it runs must
// not be in the way of its commands.
func (p *program) load(starting bool) (*settings, error) {
	file, err := p.configFile()
	if err != nil {
		return nil, err
	}
	cfg, report, err := config.Load(config.Options{File: file, Env: p.env, CheckFiles: starting, Lenient: !starting})
	if err != nil {
		return nil, err
	}
	return &settings{Config: cfg, report: report, file: file, node: instance{cfg.Node.DataDir}}, nil
}

// wait is a limit of waiting in seconds from the environment.
func (p *program) wait(name string, otherwise time.Duration) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSuffix(p.getenv(name), "s")); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return otherwise
}

// errSilent ends an invocation with status 1 after it has said why.
var errSilent = errors.New("")

// fail says why on standard error.
func (p *program) fail(format string, args ...any) error {
	fmt.Fprintf(p.err, format+"\n", args...)
	return errSilent
}

// notResponding is what commands say of a node that is not there.
func (p *program) notResponding(s *settings) error {
	return p.fail("Node '%s' not responding to pings.", s.Node.Name)
}
