package aws

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish/s3publish"
	"github.com/sallyport/sallyport/verify"
	"github.com/sallyport/sallyport/verify/awsview"
)

// openView asks the account which public IPs it has. A variable, because tests of the graph have no account.
var openView = func(ctx context.Context, region string, brought map[string]string) (verify.View, error) {
	return awsview.New(ctx, region, brought)
}

// publish puts every partner's view of the allow list into S3, if the stack file wants that: after everything that carries traffic
// is as the list says, and after the account has confirmed it. What it returns is the list when partners can have it. So one that
// was not published is not remembered as told either, and no notice runs from it.
func (d *deployment) publish(document pulumi.StringOutput) (pulumi.StringOutput, error) {
	if d.settings.Allowlist.Publish == nil {
		return document, nil
	}
	what := d.life.Published(d.ctx, d.signer, func(ctx context.Context) (verify.View, error) {
		return openView(ctx, d.section.Region, d.section.Addresses.Existing)
	})
	what.Document = document
	for _, g := range d.gateways {
		id, err := d.nat.Get(g.zone)
		if err != nil {
			return document, err
		}
		what.After = append(what.After, id)
	}
	if d.fleet != nil {
		what.After = append(what.After, d.fleet.Groups)
	}
	made, err := s3publish.New(d.ctx, "allowlist", &s3publish.Args{Stack: d.ctx.Stack(), Publication: what, Tags: d.section.Tags}, d.provider)
	if err != nil {
		return document, err
	}
	d.endpoints["published"] = pulumi.Map{"bucket": made.BucketName, "documents": made.Documents, "topic": made.TopicARN}
	return made.Document, nil
}
