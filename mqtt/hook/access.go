package hook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/mqtt/auth"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// authenticate asks whether the client may connect.
func (c *connection) authenticate(ctx context.Context, pk *packets.Packet) error {
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.ClientAuthenticate)
	info := c.conn.Info()
	c.auth = &auth.Client{
		ClientID: c.client.ID, Username: c.client.Username, Peer: c.client.Peer.Addr(),
		Listener: c.client.Listener, Zone: c.client.Zone, CertCN: info.ProxyCertCN,
	}
	if info.TLS != nil && info.TLS.PeerCert != nil {
		c.auth.CertCN = info.TLS.PeerCert.Subject.CommonName
		c.auth.CertDN = info.TLS.PeerCert.Subject.String()
	}
	res, err := c.checkLogin(ctx, info.Listener, pk)
	if res.Decision == auth.Allow {
		m.Inc(c.stripe, metrics.AuthenticationSuccess)
		if c.auth.Username == "" {
			m.Inc(c.stripe, metrics.ClientAuthAnonymous)
		}
		c.until = res.ExpireAt
		return nil
	}
	m.Inc(c.stripe, metrics.AuthenticationFailure)
	m.Inc(c.stripe, metrics.PacketsConnackAuthError)
	if err != nil {
		c.hook.log.Warn("client not authenticated", "client_id", c.client.ID, "peer", c.client.Peer, "err", err)
	} else {
		c.hook.log.Debug("client not admitted", "client_id", c.client.ID, "username", c.client.Username,
			"peer", c.client.Peer, "reason_code", byte(res.Reason))
	}
	re := &wire.ReasonError{Code: byte(res.Reason), Text: wire.Reason(byte(res.Reason))}
	return errors.Join(fmt.Errorf("%w: %w", ErrRefused, re), err)
}

// checkLogin asks the authenticators as far as the listener's enable_authn
// wants that.
func (c *connection) checkLogin(ctx context.Context, l *listener.Config, pk *packets.Packet) (auth.Result, error) {
	switch {
	case l.EnableAuthn == "false":
		return auth.Result{Decision: auth.Allow}, nil
	case l.EnableAuthn == "quick_deny_anonymous" && c.auth.Username == "":
		return auth.Result{Decision: auth.Deny, Reason: auth.ReasonNotAuthorized}, nil
	}
	var cred auth.Credentials
	if pk.Connect.PasswordFlag {
		cred.Password = append([]byte{}, pk.Connect.Password...) // empty is not absent
	}
	return c.hook.conf.Authentication.Check(ctx, c.auth, cred)
}

// mayPublish asks the authorizers about a Topic Name without prefix.
func (c *connection) mayPublish(ctx context.Context, name string, qos message.QoS, retain bool) bool {
	return c.authorize(ctx, auth.Action{Type: auth.Publish, QoS: qos, Retain: retain}, name)
}

// maySubscribe asks the authorizers about a Topic Filter without prefix.
func (c *connection) maySubscribe(ctx context.Context, filter string, qos message.QoS) bool {
	return c.authorize(ctx, auth.Action{Type: auth.Subscribe, QoS: qos}, filter)
}

func (c *connection) authorize(ctx context.Context, a auth.Action, topic string) bool {
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.ClientAuthorize)
	if c.hook.conf.Authorization.Check(ctx, c.auth, a, topic) == auth.Allow {
		m.Inc(c.stripe, metrics.AuthorizationAllow)
		return true
	}
	m.Inc(c.stripe, metrics.AuthorizationDeny)
	c.hook.log.Debug("not authorized", "client_id", c.client.ID, "action", a.Type, "topic", topic, "qos", a.QoS)
	return false
}

// watchExpiry ends the connection when the client's credentials expire, if
// they do.
func (c *connection) watchExpiry() {
	if !c.until.IsZero() {
		c.expires = time.AfterFunc(c.until.Sub(c.hook.now()), func() { c.Disconnect(wire.NotAuthorized) })
	}
}
