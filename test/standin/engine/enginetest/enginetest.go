// Package enginetest tries the rules of a stand-in without the provider protocol: a test says what to create, update and delete
// one after the other in a world in memory, and what the cloud answers.
package enginetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Cloud is a provider with a world.
type Cloud struct {
	t     *testing.T
	state *world.State
	pkg   *engine.Package
	// Region and Project are the provider's settings.
	Region, Project string
}

// New makes an empty world.
func New(t *testing.T, pkg *engine.Package, settings world.Settings) *Cloud {
	return &Cloud{t: t, pkg: pkg, state: &world.State{Settings: settings, Objects: map[string]*world.Object{}}, Region: "eu-west-1", Project: "example"}
}

// Tx is an operation in the world.
func (c *Cloud) Tx() *engine.Tx {
	return &engine.Tx{State: c.state, Package: c.pkg, Region: c.Region, Project: c.Project}
}

func (c *Cloud) kind(token string) *engine.Kind {
	c.t.Helper()
	k, err := c.pkg.Kind(token)
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

// Try creates a resource and returns its id and what went wrong, illegal inputs included.
func (c *Cloud) Try(token string, in engine.Props) (string, error) {
	c.t.Helper()
	tx, k := c.Tx(), c.kind(token)
	checked, problems := tx.Check(k, "name", engine.Hex, nil, in)
	if len(problems) > 0 {
		return "", fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	id := ""
	err := c.attempt(func() error {
		o, err := tx.Create(k, checked)
		if err == nil {
			id = o.ID
		}
		return err
	})
	return id, err
}

// attempt takes an operation back if it fails, as a world on disk does.
func (c *Cloud) attempt(operation func() error) error {
	c.t.Helper()
	before, err := json.Marshal(c.state)
	if err != nil {
		c.t.Fatal(err)
	}
	failed := operation()
	if failed != nil {
		*c.state = world.State{}
		if err := json.Unmarshal(before, c.state); err != nil {
			c.t.Fatal(err)
		}
	}
	return failed
}

// Make creates a resource that the cloud has to take, and returns its id.
func (c *Cloud) Make(token string, in engine.Props) string {
	c.t.Helper()
	id, err := c.Try(token, in)
	if err != nil {
		c.t.Fatalf("create %s: %v", token, err)
	}
	return id
}

// Change updates a resource.
func (c *Cloud) Change(token, id string, in engine.Props) error {
	c.t.Helper()
	return c.attempt(func() error {
		_, err := c.Tx().Update(c.kind(token), id, in)
		return err
	})
}

// Remove deletes a resource.
func (c *Cloud) Remove(token, id string) error {
	c.t.Helper()
	return c.attempt(func() error { return c.Tx().Delete(c.kind(token), id) })
}

// Object is a resource as it stands.
func (c *Cloud) Object(token, id string) *engine.Object {
	c.t.Helper()
	o := c.state.Find(token, id)
	if o == nil {
		c.t.Fatalf("no %s %s", token, id)
	}
	return o
}

// State is the world.
func (c *Cloud) State() *world.State { return c.state }

// Refused checks that an error is there and says what it should.
func (c *Cloud) Refused(err error, want string) {
	c.t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		c.t.Errorf("got %v, want an error that says %q", err, want)
	}
}
