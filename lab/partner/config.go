package partner

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// watchInterval is how often the configuration file is looked at.
const watchInterval = 200 * time.Millisecond

// Config is the configuration file, in JSON.
type Config struct {
	Name        string         `json:"name"`
	Addresses   []netip.Addr   `json:"addresses"`   // at least one, IPv4
	Port        int            `json:"port"`        // 1 to 65535
	Certificate string         `json:"certificate"` // PEM file
	Key         string         `json:"key"`         // PEM file
	Allow       []netip.Prefix `json:"allow"`       // sources that may call; empty refuses everybody
	Enforce     bool           `json:"enforce"`     // false: Allow is ignored and everybody may call
	// Control is the path of the unix socket for Stats and Reset, at most 107 bytes; it is not changed by a reload.
	Control string `json:"control"`
}

func (c Config) validate() error {
	var errs []error
	add := func(format string, values ...any) { errs = append(errs, fmt.Errorf("partner: "+format, values...)) }
	if len(c.Addresses) == 0 {
		add("addresses: needs at least 1, got 0")
	}
	for _, address := range c.Addresses {
		if !address.Is4() {
			add("addresses: must be IPv4, got %s", address)
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		add("port: must be 1 to 65535, got %d", c.Port)
	}
	if c.Control == "" || len(c.Control) > 107 {
		add("control: must have 1 to 107 characters, got %d", len(c.Control))
	}
	return errors.Join(errs...)
}

// state is a configuration in force.
type state struct {
	config Config
	tls    *tls.Config
	stamp  stamp
}

func (s *state) allows(source netip.Addr) bool {
	if !s.config.Enforce {
		return true
	}
	for _, prefix := range s.config.Allow {
		if prefix.Contains(source) {
			return true
		}
	}
	return false
}

func (s *Server) load(file string) (*state, error) {
	next := &state{stamp: fileStamp(file)}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("partner: configuration: %w", err)
	}
	if err := json.Unmarshal(content, &next.config); err != nil {
		return nil, fmt.Errorf("partner: configuration %s: %w", file, err)
	}
	if err := next.config.validate(); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(next.config.Certificate, next.config.Key)
	if err != nil {
		return nil, fmt.Errorf("partner: certificate: %w", err)
	}
	next.tls = s.tlsConfig(pair)
	return next, nil
}

// stamp tells versions of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

func fileStamp(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}
