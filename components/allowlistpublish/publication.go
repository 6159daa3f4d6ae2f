package allowlistpublish

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/problem"
)

// Publication is what is published, whatever kind of bucket it is put into.
type Publication struct {
	// Partners are those who get a folder, at least one.
	Partners []string
	// Bucket is an existing bucket; who reads it and how many versions it keeps is then its owner's business. Empty: one is made.
	Bucket string
	// Prefix is in front of every name. Default none.
	Prefix string
	// Public lets everybody read the partners' folders of a bucket that is made here, and nobody list them. Default false: signed
	// URLs, or readers whom the owner admits.
	Public bool
	// Notices makes a topic that hears of each new document. Only for a bucket that is made here. Default false.
	Notices bool
	// Document is the whole allow list as JSON.
	Document pulumi.StringInput
	// After are values that are known once every public IP is attached or detached as the document says. Only then is the cloud
	// asked and anything published. May be empty.
	After []pulumi.Input
	// Signed says that each view has a signature beside it.
	Signed bool
	// Signer signs, if Signed. Nil in a preview by somebody who has no key: what the signatures will be is then not known.
	Signer Signer
	// Check is asked before anything is published, and not in a preview. Nil: nobody is.
	Check Check
}

// Validate checks what both kinds of bucket need. Name says whose publication it is.
func (p *Publication) Validate(name string) error {
	var list problem.List
	if len(p.Partners) == 0 {
		list.Add(name+": partners", "needs at least 1 partner", nil, "name partners in the destinations")
	}
	if p.Bucket != "" && p.Notices {
		list.Add(name+": notices", "must be off with a bucket that exists, whose notifications are its owner's", p.Bucket, "leave bucket out, or notices")
	}
	return list.Err()
}

// Inputs is what a component records of it for policies.
func (p *Publication) Inputs() pulumi.Map {
	return pulumi.Map{
		"partners": pulumi.ToStringArray(p.Partners), "bucket": pulumi.String(p.Bucket), "prefix": pulumi.String(p.Prefix),
		"public": pulumi.Bool(p.Public), "notices": pulumi.Bool(p.Notices), "signed": pulumi.Bool(p.Signed),
	}
}

// URLs are where the documents are, by partner: <scheme>://<bucket>/<key>.
func (p *Publication) URLs(scheme string, bucket pulumi.StringInput) pulumi.StringMapOutput {
	urls := pulumi.StringMap{}
	for _, f := range Files(p.Partners, p.Prefix, false) {
		if f.Name == DocumentName {
			urls[f.Partner] = pulumi.Sprintf("%s://%s/%s", scheme, bucket, f.Key)
		}
	}
	return urls.ToStringMapOutput()
}

// Put makes an object of one file.
type Put func(name string, f File, content pulumi.StringInput, opts ...pulumi.ResourceOption) (pulumi.Resource, error)

// Objects puts every file in its place, each partner's document after the rest of its folder, and all of them after what guards the
// bucket. What it returns is the document once it has been published everywhere.
func (p *Publication) Objects(ctx *pulumi.Context, guards []pulumi.Resource, put Put) (pulumi.StringOutput, error) {
	checked := p.checked(ctx)
	before, done := map[string][]pulumi.Resource{}, []any{checked}
	for _, f := range Files(p.Partners, p.Prefix, p.Signed) {
		object, err := put("allowlistpublish-object-"+f.Partner+"-"+f.Name, f, p.content(ctx, checked, f),
			pulumi.DependsOn(slices.Concat(before[f.Partner], guards)))
		if err != nil {
			return pulumi.StringOutput{}, err
		}
		before[f.Partner] = append(before[f.Partner], object)
		done = append(done, object.URN())
	}
	return pulumi.All(done...).ApplyT(func(values []any) string { return fmt.Sprint(values[0]) }).(pulumi.StringOutput), nil
}

// checked is the document after everybody who was asked has confirmed it.
func (p *Publication) checked(ctx *pulumi.Context) pulumi.StringOutput {
	check := p.Check
	if ctx.DryRun() {
		check = nil // the cloud is asked when the document is about to be published
	}
	values := []any{p.Document}
	for _, after := range p.After {
		values = append(values, after)
	}
	return pulumi.All(values...).ApplyT(func(values []any) (string, error) {
		text := fmt.Sprint(values[0])
		_, err := Open(ctx.Context(), text, check)
		return text, err
	}).(pulumi.StringOutput)
}

// content is what a file holds.
func (p *Publication) content(ctx *pulumi.Context, checked pulumi.StringOutput, f File) pulumi.StringOutput {
	if f.Name == SignatureName && p.Signer == nil && ctx.DryRun() {
		return pulumi.UnsafeUnknownOutput(nil).ApplyT(func(any) string { return "" }).(pulumi.StringOutput)
	}
	return checked.ApplyT(func(text string) (string, error) {
		document, err := Open(ctx.Context(), text, nil)
		if err != nil {
			return "", err
		}
		return Content(f, document, p.Signer)
	}).(pulumi.StringOutput)
}
