package main

import (
	"fmt"
	"strings"
	"time"

	"ermine/tests/bench/broker"
	"ermine/tests/bench/load"
)

// metric is one figure of a run.
type metric string

const (
	cpuPerMessage metric = "cpu us/msg"
	throughput    metric = "msg/s"
	p50           metric = "p50 us"
	p99           metric = "p99 us"
	rssPerClient  metric = "KiB/conn"
	rssGrowth     metric = "growth %"
)

// target is what a figure must come to: the ratio to another broker's figure,
// or the figure itself where against is empty.
type target struct {
	of      metric
	against string
	atLeast bool // else at most
	value   float64
}

func (t target) String() string {
	sign := "<="
	if t.atLeast {
		sign = ">="
	}
	if t.against == "" {
		return fmt.Sprintf("%s %g", sign, t.value)
	}
	return fmt.Sprintf("%s %gx", sign, t.value)
}

// met tells whether a value reaches the target.
func (t target) met(value float64) bool {
	if t.atLeast {
		return value >= t.value
	}
	return value <= t.value
}

// scenario is one row of the benchmark.
type scenario struct {
	name, about string
	// load is the traffic; Protocol, Payload, Window, Step, Batch and the times are
	// filled in from the command line.
	load load.Spec
	// idle, where not 0, is a number of connections that only stay, instead of
	// traffic.
	idle int
	// soak samples memory all along and compares its end with its start.
	soak bool
	// subject is the broker that the targets are of.
	subject string
	// brokers run by default; optional scenarios run only by name.
	brokers  []string
	optional bool
	targets  []target
}

var scenarios = []scenario{
	{
		name: "own-q0", about: "4 publishers to 4 subscribers, own topics, QoS 0",
		load:    load.Spec{Publishers: 4, Subscribers: 4, Layout: load.OwnTopics},
		targets: []target{againstMosquitto(cpuPerMessage, 0.30), {throughput, "mosquitto", true, 5}},
	},
	{
		name: "own-q1", about: "4 publishers to 4 subscribers, own topics, QoS 1",
		load:    load.Spec{Publishers: 4, Subscribers: 4, Layout: load.OwnTopics, QoS: 1},
		targets: []target{againstMosquitto(cpuPerMessage, 0.30)},
	},
	{
		name: "own-q2", about: "4 publishers to 4 subscribers, own topics, QoS 2",
		load:    load.Spec{Publishers: 4, Subscribers: 4, Layout: load.OwnTopics, QoS: 2, Exchanges: broker.Inflight},
		targets: []target{againstMosquitto(cpuPerMessage, 0.40)},
	},
	{
		name: "fanout-q0", about: "1 publisher to 200 subscribers, QoS 0",
		load:    load.Spec{Publishers: 1, Subscribers: 200, Layout: load.FanOut},
		targets: []target{againstMosquitto(cpuPerMessage, 0.15)},
	},
	{
		name: "fanin-q0", about: "100 publishers to 1 subscriber by wildcard, QoS 0",
		load:    load.Spec{Publishers: 100, Subscribers: 1, Layout: load.FanIn},
		targets: []target{againstMosquitto(cpuPerMessage, 0.35)},
	},
	{
		name: "paced-q0", about: "2,000 messages a second, QoS 0",
		load:    load.Spec{Publishers: 4, Subscribers: 4, Layout: load.OwnTopics, Rate: 2000},
		targets: []target{againstMosquitto(p99, 1.5)},
	},
	{
		name: "paced-q1", about: "2,000 messages a second, QoS 1",
		load:    load.Spec{Publishers: 4, Subscribers: 4, Layout: load.OwnTopics, Rate: 2000, QoS: 1},
		targets: []target{againstMosquitto(p99, 1.5)},
	},
	{
		name: "idle", about: "10,000 idle connections with one subscription each",
		idle:    10_000,
		targets: []target{{rssPerClient, "", false, 20}},
	},
	{
		name: "cluster-q0", about: "3 nodes, 3 publishers to 3 subscribers on other nodes, QoS 0",
		load:    load.Spec{Publishers: 3, Subscribers: 3, Layout: load.OwnTopics},
		subject: "ermine-cluster", brokers: []string{"ermine-cluster", "ermine", "rabbitmq-cluster"}, optional: true,
		targets: []target{{cpuPerMessage, "ermine", false, 2.5}, {cpuPerMessage, "rabbitmq-cluster", false, 0.15}},
	},
	{
		name: "cluster-q1", about: "3 nodes, 3 publishers to 3 subscribers on other nodes, QoS 1",
		load:    load.Spec{Publishers: 3, Subscribers: 3, Layout: load.OwnTopics, QoS: 1},
		subject: "ermine-cluster", brokers: []string{"ermine-cluster", "ermine", "rabbitmq-cluster"}, optional: true,
		targets: []target{{cpuPerMessage, "ermine", false, 3}, {cpuPerMessage, "rabbitmq-cluster", false, 0.15}},
	},
	{
		name: "cluster-paced-q1", about: "3 nodes, 2,000 messages a second to other nodes, QoS 1",
		load:    load.Spec{Publishers: 3, Subscribers: 3, Layout: load.OwnTopics, Rate: 2000, QoS: 1},
		subject: "ermine-cluster", brokers: []string{"ermine-cluster", "rabbitmq-cluster"}, optional: true,
		targets: []target{{p99, "rabbitmq-cluster", false, 0.5}},
	},
	{
		name: "soak", about: "mixed load for a long time: nothing lost, memory stays",
		load:    load.Spec{Publishers: 20, Subscribers: 20, Layout: load.FanOut, Rate: 1000, QoS: 1},
		brokers: []string{"ermine"}, optional: true, soak: true,
		targets: []target{{rssGrowth, "", false, 20}},
	},
}

func againstMosquitto(of metric, atMost float64) target {
	return target{of, "mosquitto", false, atMost}
}

// subjectName is the broker that the targets are of.
func (s scenario) subjectName() string {
	if s.subject != "" {
		return s.subject
	}
	return "ermine"
}

// defaultBrokers are those that run when the command line names none.
func (s scenario) defaultBrokers() []string {
	if len(s.brokers) > 0 {
		return s.brokers
	}
	return []string{"ermine", "mosquitto"}
}

// choose finds the scenarios by a list of names; "default" and the empty list
// stand for all that are not optional, "all" for all.
func choose(names string) ([]scenario, error) {
	var chosen []scenario
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range scenarios {
			if name == s.name || name == "all" || (name == "" || name == "default") && !s.optional {
				chosen = append(chosen, s)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no scenario %q (see -list)", name)
		}
	}
	return chosen, nil
}

// settings are what the command line says for every load.
type settings struct {
	protocol load.Protocol
	payload  int
	window   int
	step     int
	batch    int
	warmup   time.Duration
	duration time.Duration
	drain    time.Duration
	// profiles, where not empty, is a folder for CPU profiles.
	profiles string
}

// spec is the scenario's load with the settings filled in.
func (s scenario) spec(set settings) load.Spec {
	spec := s.load
	spec.Protocol, spec.Payload = set.protocol, set.payload
	spec.Window, spec.Step, spec.Batch = set.window, set.step, set.batch
	spec.Warmup, spec.Duration, spec.Drain = set.warmup, set.duration, set.drain
	return spec
}
