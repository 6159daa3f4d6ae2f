package main

import (
	"fmt"
	"slices"
	"strings"
)

// forcedWildcards are the actions that AWS grants on every resource only. Service authorization reference of Amazon ECR and of
// Amazon CloudWatch, 2026.
var forcedWildcards = []string{"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}

// broadRoles are GCP's basic roles.
var broadRoles = []string{"roles/owner", "roles/editor", "roles/viewer"}

// iamLeastPrivilege refuses permissions without bounds.
var iamLeastPrivilege = policy{
	name: "iam-least-privilege", level: mandatory,
	description: "IAM statements name actions and resources; no basic roles.",
	types: []string{
		"aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy", "gcp:projects/iAMMember:IAMMember", "gcp:projects/iAMBinding:IAMBinding",
	},
	resource: func(j *judge, r resource) {
		if role := r.inputs.at("role"); strings.HasPrefix(r.kind, "gcp:") {
			if j.sees(r, role, "name the role") && slices.Contains(broadRoles, role.text()) {
				j.violates(r, role, "must not be a basic role", "grant the narrow role on the one resource")
			}
			return
		}
		document := r.inputs.at("policy")
		if !j.sees(r, document, "write the policy document") {
			return
		}
		tree, err := document.document()
		if err != nil {
			j.report(r.urn, fmt.Sprintf("%s: policy: needs JSON, got %v; correct it", r.name, err))
			return
		}
		root, _ := tree.(map[string]any)
		for i, statement := range list(root["Statement"]) {
			if object, ok := statement.(map[string]any); ok && object["Effect"] == "Allow" {
				judgeStatement(j, r, fmt.Sprintf("policy.Statement[%d]", i), object)
			}
		}
	},
}

func judgeStatement(j *judge, r resource, place string, statement map[string]any) {
	actions := list(statement["Action"])
	forced := len(actions) > 0
	for _, action := range actions {
		text, _ := action.(string)
		forced = forced && slices.Contains(forcedWildcards, text)
		if strings.Contains(text, "*") {
			j.report(r.urn, fmt.Sprintf("%s: %s.Action: must not have a wildcard, got %q; name the actions", r.name, place, text))
		}
	}
	for _, key := range []string{"NotAction", "NotResource"} {
		if _, ok := statement[key]; ok {
			j.report(r.urn, fmt.Sprintf("%s: %s.%s: must not allow everything else, got it with Allow; name what is allowed", r.name, place, key))
		}
	}
	for _, resource := range list(statement["Resource"]) {
		if text, _ := resource.(string); text == "*" && !forced {
			j.report(r.urn, fmt.Sprintf("%s: %s.Resource: must not be every resource, got %q; name the ARNs", r.name, place, text))
		}
	}
}

// list reads what JSON policies write either as one value or as a list.
func list(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		return []any{value}
	}
}
