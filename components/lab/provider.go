package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Provider is an explicit provider for the lab's resources. A stack with `pulumi:disable-default-providers` needs one: pass it on
// with pulumi.Provider, or on a parent with pulumi.Providers.
type Provider struct {
	pulumi.ProviderResourceState
}

// NewProvider makes an explicit provider. It has no configuration.
func NewProvider(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*Provider, error) {
	p := &Provider{}
	if err := ctx.RegisterResource("pulumi:providers:lab", name, pulumi.Map{}, p, opts...); err != nil {
		return nil, err
	}
	return p, nil
}
