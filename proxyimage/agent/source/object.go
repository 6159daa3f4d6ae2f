package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

// requestTimeout bounds one look at an object, its credentials included: an object is 1 MiB at most.
const requestTimeout = 10 * time.Second

// store reads one object.
type store interface {
	// get returns the object, or changed false if it still has the given tag. An empty tag matches nothing. It reads one byte
	// more than a document may have at most. An error says what the store said, without anything that differs each time.
	get(ctx context.Context, tag string) (data []byte, newTag string, changed bool, err error)
}

// object watches an object of a store by asking at an interval whether its entity tag is another one.
type object struct {
	url      string // for messages
	store    store
	interval time.Duration
	timeout  time.Duration

	asked   bool   // at least once
	tag     string // of the text returned last; empty after an error, so that the text is returned again
	failure string // what the last error said
}

// Next implements Watcher.
func (o *object) Next(ctx context.Context) ([]byte, error) {
	for {
		if o.asked {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(o.interval):
			}
		}
		data, changed, err := o.look(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		o.asked = true
		switch {
		case err != nil && err.Error() != o.failure:
			o.failure, o.tag = err.Error(), ""
			return nil, err
		case err == nil && changed:
			o.failure = ""
			return data, nil
		}
	}
}

// look reads the object if it is not the one seen last.
func (o *object) look(ctx context.Context) ([]byte, bool, error) {
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	data, tag, changed, err := o.store.get(limited, o.tag)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", o.url, plain(limited, err, o.timeout))
	}
	if changed {
		o.tag = tag
	}
	return data, changed, nil
}

// plain replaces what differs from attempt to attempt, such as the port of a connection: the same trouble is reported once.
func plain(ctx context.Context, err error, timeout time.Duration) error {
	var network *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", timeout)
	case errors.As(err, &network):
		return fmt.Errorf("%s %s: %w", network.Op, network.Net, network.Err)
	}
	return err
}

// read reads the body of an object.
func read(body io.Reader) ([]byte, error) {
	// One byte more than allowed, so that the decoder can say that it is too large.
	return io.ReadAll(io.LimitReader(body, routes.MaxBytes+1))
}

// place is where an object lies: the parts of s3://bucket/key?parameters.
type place struct {
	bucket, key string
	parameters  url.Values
}

// parsePlace reads a URL; allowed are the parameters that the scheme knows.
func parsePlace(u *url.URL, allowed ...string) (place, error) {
	p := place{bucket: u.Host, key: strings.TrimPrefix(u.Path, "/"), parameters: u.Query()}
	if p.bucket == "" || p.key == "" || u.Port() != "" || u.User != nil || u.Fragment != "" {
		return place{}, fmt.Errorf("must be %s://<bucket>/<key>, got %q", u.Scheme, u.Redacted())
	}
	for name, values := range p.parameters {
		known := false
		for _, a := range allowed {
			known = known || a == name
		}
		if !known || len(values) != 1 {
			return place{}, fmt.Errorf("must have parameters %s only, each once, got %q", strings.Join(allowed, ", "), name)
		}
	}
	return p, nil
}

// endpoint returns the parameter of that name, which must be the address of a server if it is there.
func (p place) endpoint() (string, error) {
	text := p.parameters.Get("endpoint")
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return "", fmt.Errorf("endpoint must be http(s)://<host>, got %q", text)
	}
	return strings.TrimSuffix(text, "/"), nil
}

// flag returns a parameter that is true or false, false if it is not there.
func (p place) flag(name string) (bool, error) {
	switch value := p.parameters.Get(name); value {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	default:
		return false, fmt.Errorf("%s must be true or false, got %q", name, value)
	}
}
