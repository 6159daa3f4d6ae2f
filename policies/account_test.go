package main

import (
	"strings"
	"testing"
)

func TestIAMLeastPrivilege(t *testing.T) {
	document := func(statement string) given {
		return given{kind: "aws:iam/rolePolicy:RolePolicy", name: "role", inputs: map[string]any{"policy": `{"Statement": [` + statement + `]}`}}
	}
	checkPolicy(t, iamLeastPrivilege, map[string]judgement{
		"narrow":                       {resources: []given{document(`{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::b/routes.json"]}`)}},
		"any action":                   {resources: []given{document(`{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/k"}`)}, want: []string{`policy.Statement[0].Action: must not have a wildcard, got "s3:*"`}},
		"any resource":                 {resources: []given{document(`{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}`)}, want: []string{"must not be every resource"}},
		"a wildcard that AWS forces":   {resources: []given{document(`{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}`)}},
		"one that hides beside it":     {resources: []given{document(`{"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken", "s3:GetObject"], "Resource": "*"}`)}, want: []string{"every resource"}},
		"everything else":              {resources: []given{document(`{"Effect": "Allow", "NotAction": "iam:CreateUser", "Resource": "arn:aws:s3:::b"}`)}, want: []string{"must not allow everything else"}},
		"a deny may be broad":          {resources: []given{document(`{"Effect": "Deny", "Action": "*", "Resource": "*"}`)}},
		"no JSON":                      {resources: []given{{kind: "aws:iam/policy:Policy", name: "p", inputs: map[string]any{"policy": "{"}}}, want: []string{"needs JSON"}},
		"a preview that does not know": {resources: []given{{kind: "aws:iam/policy:Policy", name: "p", inputs: map[string]any{"policy": computed{}}}}},
		"a basic role":                 {resources: []given{{kind: "gcp:projects/iAMMember:IAMMember", name: "m", inputs: map[string]any{"role": "roles/editor"}}}, want: []string{"must not be a basic role"}},
		"a narrow role":                {resources: []given{{kind: "gcp:projects/iAMMember:IAMMember", name: "m", inputs: map[string]any{"role": "roles/logging.logWriter"}}}},
	})
}

func TestRoutesBucketPrivate(t *testing.T) {
	bucket := given{kind: s3BucketV2Type, name: "routes"}
	block := func(yes bool) given {
		return given{kind: publicAccess, name: "block", uses: map[string][]string{"bucket": {"routes"}}, inputs: map[string]any{
			"blockPublicAcls": true, "blockPublicPolicy": yes, "ignorePublicAcls": true, "restrictPublicBuckets": true}}
	}
	gcs := func(prevention any) given {
		return given{kind: gcpBucketType, name: "gcs", inputs: map[string]any{"publicAccessPrevention": prevention, "uniformBucketLevelAccess": true}}
	}
	public := func(yes bool) given {
		return given{kind: "sallyport:allowlistpublish:S3", name: "lists", inputs: map[string]any{"public": yes}}
	}
	of := func(g given) given { g.parent = "lists"; return g }
	checkPolicy(t, routesBucketPrivate, map[string]judgement{
		"closed":                       {resources: []given{bucket, block(true), gcs("enforced")}},
		"no block":                     {resources: []given{bucket}, want: []string{"routes: needs a BucketPublicAccessBlock, got none"}},
		"a block with a hole":          {resources: []given{bucket, block(false)}, want: []string{"block: blockPublicPolicy: must be true, got false"}},
		"open for the partners' lists": {resources: []given{public(true), of(bucket), block(false), of(gcs("inherited"))}},
		"open, and nobody said so":     {resources: []given{public(false), of(bucket), block(false)}, want: []string{"block: blockPublicPolicy"}},
		"inherited":                    {resources: []given{gcs("inherited")}, want: []string{`must be enforced, got "inherited"`}},
		"nothing said":                 {resources: []given{gcs(nil)}, want: []string{"publicAccessPrevention: must be there to be judged"}},
	})
}

func TestBudget(t *testing.T) {
	resources := []given{natGateway("a", 1), natGateway("b", 1), eip("ip", true, nil), fleet(pinned, "a", "b reserved")}
	for name, c := range map[string]struct {
		limit float64
		want  string
	}{
		"no budget":               {0, ""},
		"within it":               {140, ""},
		"the second gateway":      {50, "b: the stack must not cost more than $50.00 a month, got $65.70 with this resource"},
		"the proxy that it takes": {100, "fleet: the stack must not cost more than $100.00 a month, got $127.75"},
	} {
		got := strings.Join(judged(t, newBudget(), map[string]any{"monthlyUSD": c.limit}, resources), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Count(got, "\n") > 0 {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestInputsVisible(t *testing.T) {
	checkPolicy(t, inputsVisible(all()[:len(all())-1]), map[string]judgement{
		"everything is known": {resources: []given{routerNat("nat", nil)}},
		"ports are not known": {
			resources: []given{routerNat("nat", map[string]any{"minPortsPerVm": computed{}})},
			want:      []string{"nat: minPortsPerVm: is known only after the update, which judges it then"},
		},
		"a violation is somebody else's": {resources: []given{after(bare, map[string]any{}), eip("ip", false, nil)}},
	})
}
