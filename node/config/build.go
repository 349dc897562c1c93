package config

import (
	"maps"
	"reflect"
	"slices"
)

// build makes the typed tree from the merged settings. Keys whose value was a
// mistake leave their fields zero; the caller then discards the tree.
func (l *loader) build() *Config {
	cfg := &Config{
		EtcDir: l.opt.EtcDir,
		Zones:  make(map[string]Zone),
		Broker: Broker{SharedGroups: make(map[string]string)},
	}
	l.fill(reflect.ValueOf(cfg).Elem(), nil)
	for _, name := range l.names("zones") {
		z := Zone{Mqtt: cfg.Mqtt}
		z.Mqtt.MqueuePriorities = maps.Clone(cfg.Mqtt.MqueuePriorities)
		l.fill(reflect.ValueOf(&z).Elem(), []string{"zones", name})
		cfg.Zones[name] = z
	}
	for _, typ := range ListenerTypes {
		for _, name := range l.names("listeners", typ) {
			cfg.Listeners = append(cfg.Listeners, l.listener(cfg, typ, name))
		}
	}
	for _, name := range l.names("broker", "shared_subscription_group") {
		path := []string{"broker", "shared_subscription_group", name, "strategy"}
		if s := l.effective[join(path)]; s != nil {
			cfg.Broker.SharedGroups[name] = s.text()
		}
	}
	return cfg
}

func (l *loader) listener(cfg *Config, typ, name string) Listener {
	li := Listener{Type: typ, Name: name}
	l.fill(reflect.ValueOf(&li).Elem(), []string{"listeners", typ, name})
	zone, known := cfg.Zones[li.Zone]
	if !known {
		zone = Zone{Mqtt: cfg.Mqtt}
	}
	if li.Mountpoint == "" {
		li.Mountpoint = zone.Mountpoint
	}
	if li.PeerCertAsUsername == "" {
		li.PeerCertAsUsername = zone.Mqtt.PeerCertAsUsername
	}
	if li.PeerCertAsClientID == "" {
		li.PeerCertAsClientID = zone.Mqtt.PeerCertAsClientID
	}
	allow := zone.AllowAnonymous
	if allow == "" || allow == "true" {
		allow = cfg.AllowAnonymous
	}
	if li.EnableAuthn == "true" && (allow == "false_quick_deny" || allow == "false" && cfg.AnonymousAllowed()) {
		li.EnableAuthn = "quick_deny_anonymous"
	}
	return li
}

// fill sets the fields of a struct from the settings below a path.
func (l *loader) fill(v reflect.Value, path []string) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("conf")
		if tag == "-" {
			continue
		}
		at := append(path[:len(path):len(path)], tag)
		f := v.Field(i)
		if s := l.effective[join(at)]; s != nil {
			if elems, ok := s.value.([]map[string]any); ok {
				fillList(f, elems)
			} else if s.value != nil {
				f.Set(reflect.ValueOf(s.value))
			}
			continue
		}
		if isGroup(f.Type()) {
			l.fill(f, at)
		}
	}
}

// fillList makes a slice of structs from the elements of a list of objects.
func fillList(f reflect.Value, elems []map[string]any) {
	list := reflect.MakeSlice(f.Type(), len(elems), len(elems))
	for i, elem := range elems {
		e := list.Index(i)
		for j := range e.NumField() {
			if val := elem[e.Type().Field(j).Tag.Get("conf")]; val != nil {
				e.Field(j).Set(reflect.ValueOf(val))
			}
		}
	}
	f.Set(list)
}

// isGroup tells a struct that stands for a level of paths from one that is a
// value: only the former has conf tags.
func isGroup(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("conf") != ""
}

// finishReport adds what is known when everything is merged.
func (l *loader) finishReport(cfg *Config) {
	r := l.report
	for _, from := range []layer{l.file.into, l.env.into} {
		for name, s := range from {
			r.origin[name] = s.pos.String()
			switch s.key.Effect {
			case NoEffect:
				r.NoEffect = append(r.NoEffect, name)
			case Reserved:
				r.Reserved = append(r.Reserved, name)
			case Works:
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.env.into)) {
		s := l.env.into[name]
		r.Overrides = append(r.Overrides, Override{Name: s.raw.Pos.File, Path: name, Value: inline(shown(s.key, s.raw))})
	}
	if cfg.Cluster.DiscoveryStrategy != "manual" && discoveryEffect == Reserved {
		r.Reserved = append(r.Reserved, "cluster.discovery_strategy = "+cfg.Cluster.DiscoveryStrategy)
	}
	slices.Sort(r.NoEffect)
	slices.Sort(r.Reserved)
	slices.Sort(r.UnknownEnv)
	r.NoEffect, r.Reserved = slices.Compact(r.NoEffect), slices.Compact(r.Reserved)

	if k := keyByPath["node.cookie"]; cfg.Node.Cookie.Reveal() == k.Default {
		file := l.opt.File
		if file == "" {
			file = "the configuration file"
		}
		r.Warnings = append(r.Warnings, "the default cookie is in use, which everyone knows: set node.cookie in "+file+
			" or ERMINE_NODE__COOKIE in the environment to a secret of your own, the same on every node of the cluster")
	}
}
