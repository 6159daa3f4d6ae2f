package gcp

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish/gcspublish"
	"github.com/sallyport/sallyport/verify"
	"github.com/sallyport/sallyport/verify/gcpview"
)

// openView asks the project which public IPs it has. A variable, because tests of the graph have no project.
var openView = func(ctx context.Context, place gcpview.Place) (verify.View, error) {
	return gcpview.New(ctx, place)
}

// publish puts every partner's view of the allow list into Cloud Storage, if the stack file wants that: after everything that carries
// traffic is as the list says, and after the project has confirmed it. What it returns is the list when partners can have it. So one
// that was not published is not remembered as told either, and no notice runs from it.
func (d *deployment) publish(document pulumi.StringOutput) (pulumi.StringOutput, error) {
	if d.settings.Allowlist.Publish == nil {
		return document, nil
	}
	what := d.life.Published(d.ctx, d.signer, func(ctx context.Context) (verify.View, error) {
		return openView(ctx, gcpview.Place{
			Region: d.section.Region, Project: d.section.Project, Network: d.networkProject(), Brought: d.section.Addresses.Existing,
		})
	})
	what.Document = document
	if d.nat != nil {
		what.After = append(what.After, d.nat.Gateways)
	}
	if d.fleet != nil {
		what.After = append(what.After, d.fleet.Groups, d.fleet.Instances)
	}
	made, err := gcspublish.New(d.ctx, "allowlist", &gcspublish.Args{
		Project: d.section.Project, Region: d.section.Region, Publication: what, Labels: d.section.Labels,
	}, d.provider)
	if err != nil {
		return document, err
	}
	d.endpoints["published"] = pulumi.Map{"bucket": made.BucketName, "documents": made.Documents, "topic": made.Topic}
	return made.Document, nil
}
