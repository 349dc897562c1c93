package config

import (
	"path"
	"strconv"
	"strings"

	"ermine/node/config/hocon"
)

// rename is an old name of which more than the name has changed: its value is
// written otherwise, or it has become several keys.
type rename struct {
	from string
	// to are the paths of the keys it became; $name as in from.
	to []string
	// convert gives the values for to, nil ones where a key is not set. It
	// never sees a secret.
	convert func(v *hocon.Value) ([]*hocon.Value, *fault)
}

// fault is what is wrong with a value; the caller knows the key and the place.
type fault struct {
	msg     string
	allowed string
	pos     hocon.Pos // if it differs from the value's
	key     string    // likewise, for the field of a list element
}

// same gives one value as it is, under a new name.
func same(v *hocon.Value) ([]*hocon.Value, *fault) { return []*hocon.Value{v}, nil }

// text gives v with another text.
func text(v *hocon.Value, s string) *hocon.Value {
	t := *v
	t.Kind, t.Text = hocon.String, s
	return &t
}

var renames = func() []rename {
	list := []rename{
		{from: "log.to", to: []string{"log.console.enable", "log.file.enable"}, convert: logTo},
		{from: "log.level", to: []string{"log.console.level", "log.file.level"}, convert: func(v *hocon.Value) ([]*hocon.Value, *fault) {
			return []*hocon.Value{v, v}, nil
		}},
		{from: "log.file", to: []string{"log.file.path"}, convert: func(v *hocon.Value) ([]*hocon.Value, *fault) {
			if strings.ContainsAny(v.Text, `/\`) {
				return []*hocon.Value{v}, nil
			}
			return []*hocon.Value{text(v, path.Join("${ERMINE_LOG_DIR}", v.Text))}, nil
		}},
		{from: "log.rotation", to: []string{"log.file.rotation_size"}, convert: func(v *hocon.Value) ([]*hocon.Value, *fault) {
			switch on, err := toBool(v.Text); {
			case err != nil:
				return nil, &fault{msg: strconv.Quote(v.Text) + " " + err.Error(), allowed: "on, off"}
			case on:
				return []*hocon.Value{nil}, nil
			}
			return []*hocon.Value{text(v, "infinity")}, nil
		}},
		{from: "acl_file", to: []string{"authorization.sources.1.path"}, convert: same},
		{from: "mqtt.keepalive_backoff", to: []string{"mqtt.keepalive_multiplier"}, convert: backoff},
		{from: "zone.$name.keepalive_backoff", to: []string{"zones.$name.mqtt.keepalive_multiplier"}, convert: backoff},
		{from: "zone.$name.server_keepalive", to: []string{"zones.$name.mqtt.server_keepalive"}, convert: same},
		{from: "zone.$name.mountpoint", to: []string{"zones.$name.mountpoint"}, convert: func(v *hocon.Value) ([]*hocon.Value, *fault) {
			return []*hocon.Value{text(v, strings.NewReplacer("%c", "${clientid}", "%u", "${username}").Replace(v.Text))}, nil
		}},
		{from: "cluster.ssl_options.enable", to: []string{"rpc.protocol"}, convert: func(v *hocon.Value) ([]*hocon.Value, *fault) {
			switch on, err := toBool(v.Text); {
			case err != nil:
				return nil, &fault{msg: strconv.Quote(v.Text) + " " + err.Error(), allowed: "true, false"}
			case on:
				return []*hocon.Value{text(v, "ssl")}, nil
			}
			return []*hocon.Value{text(v, "tcp")}, nil
		}},
	}
	for _, typ := range ListenerTypes {
		list = append(list, rename{
			from: "listener." + typ + ".$name.zone", to: []string{"listeners." + typ + ".$name.zone"},
			convert: func(v *hocon.Value) ([]*hocon.Value, *fault) {
				return []*hocon.Value{text(v, presentName("zone", v.Text))}, nil
			},
		})
	}
	return list
}()

func logTo(v *hocon.Value) ([]*hocon.Value, *fault) {
	flags := map[string][2]string{
		"console": {"true", "false"}, "file": {"false", "true"},
		"both": {"true", "true"}, "off": {"false", "false"},
	}
	f, ok := flags[v.Text]
	switch {
	case v.Text == "default":
		return []*hocon.Value{nil, nil}, nil
	case !ok:
		return nil, &fault{msg: strconv.Quote(v.Text) + " is not allowed", allowed: "console, file, both, off, default"}
	}
	return []*hocon.Value{text(v, f[0]), text(v, f[1])}, nil
}

// backoff was half of what is now the multiplier.
func backoff(v *hocon.Value) ([]*hocon.Value, *fault) {
	f, err := strconv.ParseFloat(v.Text, 64)
	if err != nil || !(f >= 0.5 && f <= 5) {
		return nil, &fault{msg: strconv.Quote(v.Text) + " is not allowed", allowed: "a number, 0.5 to 5"}
	}
	return []*hocon.Value{text(v, strconv.FormatFloat(2*f, 'f', -1, 64))}, nil
}

// presentName is what a name chosen in an EMQX 4 file is called now: its zone and
// listeners named external are those named default since. root is the path's first
// segment in that file.
func presentName(root, name string) string {
	if (root == "listener" || root == "zone") && name == "external" {
		return "default"
	}
	return name
}
