// Package permissions is the IAM policy of whoever runs `pulumi up` of an AWS stack: every action with its reason, none by wildcard.
// It is pure; the policy that people copy is a golden file.
//
// What it leaves out matters most: ec2:ReleaseAddress. With it missing, no slip and no fault of ours can give a public IP back that
// partners list. Whoever releases one on purpose gets the statement of [Release] for that update.
//
// The actions follow from what the provider's resources call (terraform-provider-aws 5.x, pulumi-aws v6.83.0). EC2 offers no
// resources for its Describe actions, so these are on "*".
package permissions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Account says whose policy it is.
type Account struct {
	Stack   string // Pulumi stack, for example "aws-prod"
	Region  string // for example "eu-west-1"
	Account string // 12 digits
}

// Statement is a group of actions on the same resources for one purpose.
type Statement struct {
	ID        string
	Why       string
	Resources []string // with {stack}, {region} and {account}
	Actions   []string // sorted
	// PassedTo limits iam:PassRole to a service; empty elsewhere.
	PassedTo string
	// Kinds are the resource types, as Pulumi names them, that need the statement.
	Kinds []string
}

// document is an IAM policy in the order that IAM shows.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// Policy writes the statements as an IAM policy.
func Policy(account Account, statements []Statement) (string, error) {
	policy := document{Version: "2012-10-17"}
	replacer := strings.NewReplacer("{stack}", account.Stack, "{region}", account.Region, "{account}", account.Account)
	for _, s := range statements {
		written := statement{Sid: s.ID, Effect: "Allow", Action: s.Actions}
		for _, resource := range s.Resources {
			written.Resource = append(written.Resource, replacer.Replace(resource))
		}
		if s.PassedTo != "" {
			written.Condition = map[string]map[string]string{"StringEquals": {"iam:PassedToService": s.PassedTo}}
		}
		policy.Statement = append(policy.Statement, written)
	}
	text, err := json.MarshalIndent(policy, "", "  ")
	return string(text) + "\n", err
}

// Explain lists the statements with their reasons, for people.
func Explain(statements []Statement) string {
	var text strings.Builder
	for _, s := range statements {
		fmt.Fprintf(&text, "%s: %s\n  on %s\n", s.ID, s.Why, strings.Join(s.Resources, ", "))
		for _, action := range s.Actions {
			fmt.Fprintf(&text, "    %s\n", action)
		}
	}
	return text.String()
}

// Covered says whether the statements are meant for a resource type.
func Covered(kind string, statements []Statement) bool {
	return slices.ContainsFunc(statements, func(s Statement) bool { return slices.Contains(s.Kinds, kind) })
}
