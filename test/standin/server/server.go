// Package server speaks the provider protocol of Pulumi for a stand-in: the engine of the real command line cannot tell it from
// a provider, except that nothing costs anything and everything that happened can be looked up in the world.
package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Server is one stand-in provider process.
type Server struct {
	pulumirpc.UnimplementedResourceProviderServer
	Package *engine.Package
	Version string
	World   *world.World
	// Stop ends waiting calls when the command line cancels.
	Stop context.Context

	mutex  sync.Mutex
	config config
}

// config is what the program set on the provider.
type config struct {
	region, project string
	tags            map[string]string
}

// Handshake implements the protocol.
func (s *Server) Handshake(context.Context, *pulumirpc.ProviderHandshakeRequest) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{}, nil
}

// GetPluginInfo implements the protocol.
func (s *Server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: s.Version}, nil
}

// Attach implements the protocol.
func (s *Server) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Cancel implements the protocol. Calls in flight end by themselves.
func (s *Server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// CheckConfig implements the protocol.
func (s *Server) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.GetNews()}, nil
}

// DiffConfig implements the protocol: another region or project is another provider.
func (s *Server) DiffConfig(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := decode(r.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := decode(r.GetNews())
	if err != nil {
		return nil, err
	}
	out := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	for key := range news {
		if fmt.Sprint(olds[key]) != fmt.Sprint(news[key]) {
			out.Changes = pulumirpc.DiffResponse_DIFF_SOME
			out.Diffs = append(out.Diffs, key)
			if key == "region" || key == "project" {
				out.Replaces = append(out.Replaces, key)
			}
		}
	}
	return out, nil
}

// Configure implements the protocol.
func (s *Server) Configure(_ context.Context, r *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	args, err := decode(r.GetArgs())
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.config = config{region: engine.Text(args, "region"), project: engine.Text(args, "project"), tags: map[string]string{}}
	for _, key := range []string{"defaultTags", "defaultLabels"} {
		tags := nested(args[key])
		if inner, ok := tags["tags"].(map[string]any); ok {
			tags = inner
		}
		for name, value := range tags {
			if text, ok := value.(string); ok {
				s.config.tags[name] = text
			}
		}
	}
	return &pulumirpc.ConfigureResponse{SupportsPreview: true}, nil
}

// nested is an object of the configuration, which bridged providers get as JSON text.
func nested(value any) engine.Props {
	switch v := value.(type) {
	case map[string]any:
		return v
	case string:
		var out engine.Props
		if json.Unmarshal([]byte(v), &out) == nil {
			return out
		}
	}
	return engine.Props{}
}

// tx is an operation with the provider's settings.
func (s *Server) tx(state *world.State) *engine.Tx {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return &engine.Tx{State: state, Package: s.Package, Region: s.config.region, Project: s.config.project, Tags: s.config.tags}
}

// Invoke implements the protocol.
func (s *Server) Invoke(_ context.Context, r *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	function, ok := s.Package.Functions[r.GetTok()]
	if !ok {
		return nil, fmt.Errorf("%s: the stand-in does not know this function; describe it in test/standin/%s", r.GetTok(), s.Package.Name)
	}
	args, err := decode(r.GetArgs())
	if err != nil {
		return nil, err
	}
	var result engine.Props
	var failed error
	if err := s.World.Look(func(state *world.State) { result, failed = function(s.tx(state), args) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, fmt.Errorf("invoking %s: %w", r.GetTok(), failed)
	}
	encoded, err := encode(result)
	return &pulumirpc.InvokeResponse{Return: encoded}, err
}

// kind returns the resource type of a URN and its kind.
func (s *Server) kind(urn string) (resource.URN, *engine.Kind, error) {
	parsed := resource.URN(urn)
	k, err := s.Package.Kind(string(parsed.Type()))
	return parsed, k, err
}

// Check implements the protocol.
func (s *Server) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	urn, k, err := s.kind(r.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := decode(r.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := decode(r.GetNews())
	if err != nil {
		return nil, err
	}
	in, problems := s.tx(nil).Check(k, urn.Name(), digits(r.GetRandomSeed()), olds, news)
	out := &pulumirpc.CheckResponse{}
	for _, p := range problems {
		property, reason, _ := strings.Cut(p, ": ")
		out.Failures = append(out.Failures, &pulumirpc.CheckFailure{Property: property, Reason: reason})
	}
	out.Inputs, err = encode(in)
	return out, err
}

// digits makes the random part of a made-up name: the same for the same seed, which the engine keeps between preview and update.
func digits(seed []byte) func(int) string {
	return func(n int) string {
		if len(seed) == 0 {
			return engine.Hex(n)
		}
		var fixed [32]byte
		copy(fixed[:], seed)
		raw := make([]byte, n)
		_, _ = rand.NewChaCha8(fixed).Read(raw)
		return hex.EncodeToString(raw)[:n]
	}
}

// Diff implements the protocol.
func (s *Server) Diff(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	_, k, err := s.kind(r.GetUrn())
	if err != nil {
		return nil, err
	}
	sides := make([]engine.Props, 3)
	for i, raw := range []*structpb.Struct{r.GetOldInputs(), r.GetOlds(), r.GetNews()} {
		if sides[i], err = decode(raw); err != nil {
			return nil, err
		}
	}
	change := s.tx(nil).Diff(k, sides[0], sides[1], sides[2])
	out := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, Replaces: change.Replace, DeleteBeforeReplace: change.DeleteFirst,
		DetailedDiff: map[string]*pulumirpc.PropertyDiff{},
	}
	if !change.Empty() {
		out.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	kinds := map[string][2]pulumirpc.PropertyDiff_Kind{
		"add":    {pulumirpc.PropertyDiff_ADD, pulumirpc.PropertyDiff_ADD_REPLACE},
		"update": {pulumirpc.PropertyDiff_UPDATE, pulumirpc.PropertyDiff_UPDATE_REPLACE},
		"delete": {pulumirpc.PropertyDiff_DELETE, pulumirpc.PropertyDiff_DELETE_REPLACE},
	}
	for path, how := range change.Paths {
		kind := kinds[how][0]
		for _, forcing := range change.Replace {
			if forcing == path {
				kind = kinds[how][1]
			}
		}
		out.DetailedDiff[wirePath(path)] = &pulumirpc.PropertyDiff{Kind: kind}
		out.Diffs = append(out.Diffs, strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })[0])
	}
	return out, nil
}

// wirePath quotes keys of a path that Pulumi would misread, as those of tags with a dot or a colon.
func wirePath(path string) string {
	property, key, nestedKey := strings.Cut(path, ".")
	if nestedKey && strings.ContainsAny(key, ":/.") && !strings.Contains(key, "[") {
		return fmt.Sprintf("%s[%q]", property, key)
	}
	return path
}
