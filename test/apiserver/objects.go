package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/components/manifests"
)

// Object is a Kubernetes object.
type Object = manifests.Object

// kind is what the API server says of one: the name of its resource, and whether it lives in namespaces.
type kind struct {
	resource   string
	namespaced bool
}

// Refusal is an answer of the API server that is none of 2xx.
type Refusal struct {
	Status  int    // of HTTP
	Message string // the API server's own
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d: %s", r.Status, r.Message) }

// ErrNotServed says that the API server does not serve a kind.
var ErrNotServed = errors.New("is not served")

// Answer is what the API server said.
type Answer struct {
	Body     []byte
	Warnings []string // headers, as kubectl shows them
}

// Raw sends a request. Anything but 2xx is a *Refusal.
func (c *Cluster) Raw(ctx context.Context, method, path, contentType string, body []byte) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	answer := Answer{Warnings: response.Header.Values("Warning")}
	if answer.Body, err = io.ReadAll(response.Body); err != nil {
		return Answer{}, err
	}
	if response.StatusCode >= 300 {
		var status struct{ Message string }
		if json.Unmarshal(answer.Body, &status) != nil || status.Message == "" {
			status.Message = string(answer.Body)
		}
		return answer, &Refusal{Status: response.StatusCode, Message: status.Message}
	}
	return answer, nil
}

// find asks the API server for a kind. Kinds of definitions appear some time after these.
func (c *Cluster) find(ctx context.Context, apiVersion, name string) (kind, error) {
	key := apiVersion + " " + name
	if k, ok := c.kinds[key]; ok {
		return k, nil
	}
	answer, err := c.Raw(ctx, http.MethodGet, root(apiVersion), "", nil)
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return kind{}, fmt.Errorf("%s %w", key, ErrNotServed)
	} else if err != nil {
		return kind{}, err
	}
	var list struct {
		Resources []struct {
			Name, Kind string
			Namespaced bool
		}
	}
	if err := json.Unmarshal(answer.Body, &list); err != nil {
		return kind{}, err
	}
	for _, r := range list.Resources {
		if r.Kind == name && !strings.Contains(r.Name, "/") { // "deployments/scale" is of another kind's resource
			c.kinds[key] = kind{r.Name, r.Namespaced}
			return c.kinds[key], nil
		}
	}
	return kind{}, fmt.Errorf("%s %w", key, ErrNotServed)
}

// root is the path of a group and version.
func root(apiVersion string) string {
	if strings.Contains(apiVersion, "/") {
		return "/apis/" + apiVersion
	}
	return "/api/" + apiVersion
}

// path is that of an object, or of its collection if the name is empty.
func (c *Cluster) path(ctx context.Context, o Object) (string, error) {
	k, err := c.find(ctx, o.APIVersion(), o.Kind())
	if err != nil {
		return "", err
	}
	path := root(o.APIVersion())
	if k.namespaced {
		namespace := o.Namespace()
		if namespace == "" {
			namespace = "default" // as kubectl takes it
		}
		path += "/namespaces/" + namespace
	}
	path += "/" + k.resource
	if o.Name() != "" {
		path += "/" + o.Name()
	}
	return path, nil
}

// send sends a request about an object and returns the object in the answer.
func (c *Cluster) send(ctx context.Context, method string, of Object, query, contentType string, body []byte) (Object, []string, error) {
	path, err := c.path(ctx, of)
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.Raw(ctx, method, path+query, contentType, body)
	if err != nil {
		return nil, answer.Warnings, fmt.Errorf("%s: %w", of.ID(), err)
	}
	var got Object
	if err := json.Unmarshal(answer.Body, &got); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", of.ID(), err)
	}
	return got, answer.Warnings, nil
}

// Apply applies an object as Pulumi's provider does it: server-side, under a field manager, without taking fields from others. A field
// that the API server does not know is refused.
func (c *Cluster) Apply(ctx context.Context, o Object) (Object, []string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	return c.send(ctx, http.MethodPatch, o, "?fieldManager=sallyport&fieldValidation=Strict", "application/apply-patch+yaml", body)
}

// Create makes an object; dry makes it and keeps nothing.
func (c *Cluster) Create(ctx context.Context, o Object, dry bool) (Object, []string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	query := "?fieldManager=kubectl&fieldValidation=Strict"
	if dry {
		query += "&dryRun=All"
	}
	collection := manifests.New(o.APIVersion(), o.Kind(), o.Namespace(), "")
	return c.send(ctx, http.MethodPost, collection, query, "application/json", body)
}

// Take takes a Gateway over, as its controller does at once: it writes the status. Until somebody does, the definition's default status
// stands for one, and every apply is a write. Other objects it returns as they are.
func (c *Cluster) Take(ctx context.Context, o Object) (Object, error) {
	if o.Kind() != "Gateway" {
		return o, nil
	}
	path, err := c.path(ctx, o)
	if err != nil {
		return nil, err
	}
	_, err = c.Raw(ctx, http.MethodPatch, path+"/status?fieldManager=controller", "application/merge-patch+json", []byte(
		`{"status":{"conditions":[{"type":"Programmed","status":"True","reason":"Programmed","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`))
	if err != nil {
		return nil, err
	}
	return c.Get(ctx, o)
}

// Get reads an object.
func (c *Cluster) Get(ctx context.Context, o Object) (Object, error) {
	got, _, err := c.send(ctx, http.MethodGet, o, "", "", nil)
	return got, err
}

// Delete deletes an object. One that is gone is no error.
func (c *Cluster) Delete(ctx context.Context, o Object) error {
	_, _, err := c.send(ctx, http.MethodDelete, o, "", "application/json", nil)
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return nil
	}
	return err
}

// at follows fields down a tree; what is not there is nil.
func at(tree any, fields ...string) any {
	for _, field := range fields {
		switch t := tree.(type) {
		case Object:
			tree = t[field]
		case map[string]any:
			tree = t[field]
		default:
			return nil
		}
	}
	return tree
}

// version is the resource's version, which changes with every write.
func version(o Object) string { v, _ := at(o, "metadata", "resourceVersion").(string); return v }
