// Package awsrole writes the IAM documents of the fleet's instances: what a proxy may do in AWS, and why. It is pure, so that every
// action and its reason are in a golden file, and a test can refuse wildcards.
//
// Nobody can log in to a proxy, but its instance profile is what a hostile program on it would have. So the role reads one
// object, pulls from one repository and appends to the log streams of its own zone, and that is all: addresses are moved by
// the Auto Scaling group, and the health of an instance is made known by ending it.
package awsrole

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// MaxPolicy is the size of all inline policies of a role together, white space not counted.
// "IAM and AWS STS quotas", 2026-09.
const MaxPolicy = 10240

// Action is one thing that is allowed, and why.
type Action struct{ Name, Why string }

// Statement allows actions on resources.
type Statement struct {
	Sid       string
	Actions   []Action
	Resources []string
	// Condition narrows it, operator -> key -> value. May be nil.
	Condition map[string]map[string]string
	// Forced says why the resource has to be "*". Empty: it must not be.
	Forced string
}

// Needs are what the instances of one zone use.
type Needs struct {
	Region string
	// ObjectARN is the routes document, arn:aws:s3:::<bucket>/<key>.
	ObjectARN string
	// RepositoryARN is the ECR repository of the image. Empty: the image comes from elsewhere.
	RepositoryARN string
	// LogGroupARN is the log group, without ":*".
	LogGroupARN string
	// LogStreams are the streams of the zone's slots, at least one.
	LogStreams []string
}

// Statements are what instances are allowed.
func (n Needs) Statements() []Statement {
	var streams []string
	for _, name := range n.LogStreams {
		streams = append(streams, n.LogGroupARN+":log-stream:"+name)
	}
	statements := []Statement{
		{
			Sid: "ReadRoutes", Resources: []string{n.ObjectARN},
			Actions: []Action{{"s3:GetObject", "the agent follows the routes document: it asks for the object every few seconds and reads it when its tag is another one"}},
		},
		{
			Sid: "WriteLogAndFigures", Resources: streams,
			Actions: []Action{
				{"logs:CreateLogStream", "Docker's log driver makes the slot's stream at the first start of its first instance"},
				{"logs:PutLogEvents", "the log, and with it the figures: they are lines of the log that CloudWatch makes metrics of"},
			},
		},
	}
	if n.RepositoryARN == "" {
		return statements
	}
	return append(statements,
		Statement{
			Sid: "PullImage", Resources: []string{n.RepositoryARN},
			Actions: []Action{
				{"ecr:BatchGetImage", "the image's manifest, by its digest"},
				{"ecr:GetDownloadUrlForLayer", "where each layer lies"},
				{"ecr:BatchCheckLayerAvailability", "which layers the registry has, asked before they are fetched"},
			},
		},
		Statement{
			Sid: "LogInToRegistry", Resources: []string{"*"},
			Condition: map[string]map[string]string{"StringEquals": {"aws:RequestedRegion": n.Region}},
			Forced:    "a token is the account's and not a repository's: ECR knows no resource for this action (service authorization reference, 2026)",
			Actions:   []Action{{"ecr:GetAuthorizationToken", "the password that the pull is made with, good for 12 hours and for what PullImage allows"}},
		})
}

// Policy returns the role's policy as JSON. The error joins every problem.
func (n Needs) Policy() (string, error) {
	var problems problem.List
	need := func(ok bool, field string, value any) {
		if !ok {
			problems.Add("instance role: "+field, "must be given", value, "")
		}
	}
	need(n.Region != "", "region", n.Region)
	need(strings.HasPrefix(n.ObjectARN, "arn:"), "routes document", n.ObjectARN)
	need(strings.HasPrefix(n.LogGroupARN, "arn:"), "log group", n.LogGroupARN)
	need(len(n.LogStreams) > 0, "log streams", len(n.LogStreams))
	text, err := document(n.Statements())
	if err != nil {
		return "", err
	}
	if len(text) > MaxPolicy {
		problems.Add("instance role: log streams", fmt.Sprintf("must fit into a policy of %d bytes", MaxPolicy), len(n.LogStreams),
			"use fewer and larger proxies per zone")
	}
	return text, problems.Err()
}

// TrustPolicy lets EC2 instances assume the role, as JSON.
func TrustPolicy() string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}}]}`
}

// document is the JSON of a policy, its members always in the same order.
func document(statements []Statement) (string, error) {
	type entry struct {
		Sid, Effect string
		Action      []string
		Resource    []string
		Condition   map[string]map[string]string `json:",omitempty"`
	}
	policy := struct {
		Version   string
		Statement []entry
	}{Version: "2012-10-17"}
	for _, s := range statements {
		e := entry{Sid: s.Sid, Effect: "Allow", Resource: s.Resources, Condition: s.Condition}
		for _, a := range s.Actions {
			e.Action = append(e.Action, a.Name)
		}
		policy.Statement = append(policy.Statement, e)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(policy)
	return strings.TrimSpace(text.String()), err
}

// Explain lists every action with its reason, for people.
func Explain(statements []Statement) string {
	var text strings.Builder
	for _, s := range statements {
		fmt.Fprintf(&text, "%s\n", s.Sid)
		for _, a := range s.Actions {
			fmt.Fprintf(&text, "  %s  # %s\n", a.Name, a.Why)
		}
		for _, r := range s.Resources {
			fmt.Fprintf(&text, "    on %s\n", r)
		}
		for operator, keys := range s.Condition {
			for key, value := range keys {
				fmt.Fprintf(&text, "    if %s %s %s\n", key, operator, value)
			}
		}
		if s.Forced != "" {
			fmt.Fprintf(&text, "    any resource, because %s\n", s.Forced)
		}
	}
	return text.String()
}
