package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// Network is a lab: its state directory, its certificate authority, and the two segments on which all hosts meet.
type Network struct {
	controller[NetworkArgs, NetworkState]
}

// NetworkArgs are the inputs of a Network.
type NetworkArgs struct {
	Lab   string  `pulumi:"lab" provider:"replaceOnChanges"`
	Owner *string `pulumi:"owner,optional"`
}

// NetworkState are the inputs and outputs of a Network.
type NetworkState struct {
	NetworkArgs
	StateDir      string `pulumi:"stateDir"`
	CACertificate string `pulumi:"caCertificate"`
}

func newNetwork() *Network { return &Network{controller[NetworkArgs, NetworkState]{network{}}} }

// Annotate implements infer.Annotated.
func (n *Network) Annotate(a infer.Annotator) {
	a.SetToken(module, "Network")
	a.Describe(&n, "A lab on this machine: the internet and the private network that its hosts are attached to.")
}

// Annotate implements infer.Annotated.
func (n *NetworkArgs) Annotate(a infer.Annotator) {
	a.Describe(&n.Lab, "The lab's id, a DNS label of at most 20 characters. It is part of every namespace's name.")
	a.Describe(&n.Owner, "Process that the lab must not outlive, as <process id>:<start ticks>:<boot id>; `sallyport lab prune` "+
		"removes labs whose owner has ended. Empty: the lab stays until it is destroyed.")
}

// Annotate implements infer.Annotated.
func (n *NetworkState) Annotate(a infer.Annotator) {
	a.Describe(&n.StateDir, "Directory that holds everything of the lab that is a file.")
	a.Describe(&n.CACertificate, "Certificate, in PEM, of the authority that signs the partners' certificates.")
}

// WireDependencies implements infer.ExplicitDependencies: only the id decides.
func (*Network) WireDependencies(f infer.FieldSelector, args *NetworkArgs, state *NetworkState) {
	f.OutputField(&state.StateDir).DependsOn(f.InputField(&args.Lab))
	f.OutputField(&state.CACertificate).DependsOn(f.InputField(&args.Lab))
}

type network struct{}

func (network) noun() string                               { return "network" }
func (network) identity(in NetworkArgs) (lab, name string) { return in.Lab, "network" }
func (network) host(NetworkArgs) string                    { return "" }
func (network) inputs(s NetworkState) NetworkArgs          { return s.NetworkArgs }

func (network) with(s NetworkState, in NetworkArgs) NetworkState {
	s.NetworkArgs = in
	return s
}

func (network) check(c *checker, in NetworkArgs) {
	c.lab(in.Lab)
	if in.Owner != nil && c.known("owner") {
		if err := remains.Owner(*in.Owner).Check(); err != nil {
			c.fail("owner", err.Error(), nil, "leave it out if the lab has no owner")
		}
	}
	if os.Geteuid() != 0 {
		c.fail("lab", "needs root to make network namespaces", fmt.Sprintf("uid %d", os.Geteuid()), "run as root")
	}
}

// create completes what is missing and keeps what is there: addresses and serials are to survive the loss of a network, and
// so are hosts whose links still hang on the segment that is left. A failed one stays, half done, for the next attempt.
func (network) create(_ context.Context, lab registry.Lab, in NetworkArgs) (NetworkState, error) {
	state := NetworkState{NetworkArgs: in, StateDir: lab.Dir}
	authority, err := pki.Open(pkiDir(lab), lab.ID)
	if err == nil {
		state.CACertificate = string(authority.PEM())
	}
	for _, host := range []string{labid.InternetHost, labid.VPCHost} {
		if err == nil {
			err = namespace.Create(lab.ID, host)
		}
		if err == nil {
			err = namespace.EnsureBridge(labid.Netns(lab.ID, host), labid.Bridge)
		}
	}
	if err != nil {
		return state, infer.ResourceInitFailedError{Reasons: []string{err.Error()}}
	}
	return state, nil
}

func (n network) update(ctx context.Context, lab registry.Lab, _ NetworkState, in NetworkArgs) (NetworkState, error) {
	return n.create(ctx, lab, in)
}

func (network) alive(_ context.Context, lab registry.Lab, s *NetworkState) (bool, error) {
	for _, host := range []string{labid.InternetHost, labid.VPCHost} {
		if _, err := namespace.Addresses(labid.Netns(lab.ID, host), labid.Bridge); err != nil {
			return false, nil
		}
	}
	certificate, err := os.ReadFile(filepath.Join(pkiDir(lab), pki.CertificateFile))
	return err == nil && string(certificate) == s.CACertificate, nil
}

// pkiDir is the directory of the lab's certificate authority.
func pkiDir(lab registry.Lab) string { return lab.Path("pki") }

func (network) remove(ctx context.Context, lab registry.Lab, _ NetworkArgs, _ NetworkState) error {
	return remains.Clear(ctx, lab)
}
