// Package preflight holds what the checks before the first resource have in common: a quota compared with what a stack adds to
// it, and an answer of a cloud's API that is no answer, said in words that tell a person what to do.
//
// A check reads and never writes. It collects every problem before it reports (problem.List): someone who has to ask for a
// higher quota wants to ask once. Whatever cannot be read is a problem too, because an unchecked quota ends in half a stack;
// the setting sallyport:preflight: off is for those whose credentials may not read it.
//
// The checks of the clouds are awspreflight and gcppreflight.
package preflight

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Off is the way on for those who may not read what a check reads.
const Off = "set sallyport:preflight: off to go on unchecked"

// Quota is one limit of a cloud, compared with what is there and what a stack adds.
type Quota struct {
	// Place is where the user sees it: "aws eu-west-1: elastic IPs of the region". Never empty.
	Place string
	// Code identifies the quota for whoever raises it: "L-0263D0A3", "STATIC_ADDRESSES".
	Code string
	// Limit is what the cloud allows now.
	Limit int
	// Used is what exists already and is not among Adds, this stack's own included.
	Used int
	// Ours is the part of Used that belongs to this stack already. At most Used.
	Ours int
	// Adds is what the stack has to make.
	Adds int
	// Raise says where to ask for more. Never empty.
	Raise string
	// Instead is another way out, empty if there is none: "bring IPs of your own".
	Instead string
}

// Need is the value the limit must have.
func (q Quota) Need() int { return q.Used + q.Adds }

// Check records a problem if the stack does not fit. A stack that adds nothing fits whatever is used.
func (q Quota) Check(list *problem.List) {
	if q.Adds <= 0 || q.Need() <= q.Limit {
		return
	}
	remedy := fmt.Sprintf("ask for %d: quota %s at %s", q.Need(), q.Code, q.Raise)
	if q.Instead != "" {
		remedy += "; or " + q.Instead
	}
	list.Addf(q.Place, nil, remedy, "quota %s is %d, in use %d (%d of this stack), needed %d more: %d short",
		q.Code, q.Limit, q.Used, q.Ours, q.Adds, q.Need()-q.Limit)
}

// Refusal is a call to a cloud's API that brought no answer.
type Refusal struct {
	// Place is where: "aws eu-west-1". Never empty.
	Place string
	// Action is what was called, as a policy names it: "ec2:DescribeAddresses", "compute.regions.get". Never empty.
	Action string
	// Why decides what to tell the user.
	Why Reason
	// Attempts is how often it was tried, at least 1.
	Attempts int
	// Detail is what the other side or the network said, one line, without secrets. May be empty.
	Detail string
	// Grant says how to give the permission: "attach the policy of README". Empty if Action says it all.
	Grant string
}

// Error says it in one line, with what to do.
func (r Refusal) Error() string {
	var list problem.List
	r.Add(&list, "")
	return list.Err().Error()
}

// Reason is the kind of a refusal.
type Reason string

// The reasons.
const (
	Denied        Reason = "denied"        // known to the API, without the permission
	Unauthorized  Reason = "unauthorized"  // the API does not accept the credentials
	NoCredentials Reason = "nocredentials" // none were found
	Disabled      Reason = "disabled"      // the API is switched off for the account or project
	Throttled     Reason = "throttled"     // too many calls, retries included
	Unreachable   Reason = "unreachable"   // no connection, or no answer in time
	Failed        Reason = "failed"        // anything else
)

// Add records the refusal. A reason that is the same for every call of a place (no connection, no credentials) is recorded
// once: the place is then rejected as a whole. Instead is another way on, and may be empty.
func (r Refusal) Add(list *problem.List, instead string) {
	said, off := "", ""
	if instead != "" {
		off = ", or " + instead
	}
	if r.Detail != "" {
		said = ": " + r.Detail
	}
	call := r.Place + ": " + r.Action
	switch r.Why {
	case Denied:
		grant := "allow " + r.Action
		if r.Grant != "" {
			grant += " (" + r.Grant + ")"
		}
		list.Add(call, "permission denied"+said, nil, grant+off)
	case Unauthorized:
		list.Reject(r.Place, "the credentials are not accepted"+said, nil, "renew them"+off)
	case NoCredentials:
		list.Reject(r.Place, "no credentials found"+said, nil, "log in as for Pulumi's provider"+off)
	case Disabled:
		list.Reject(r.Place, "the API is not enabled"+said, nil, "enable it"+off)
	case Throttled:
		list.Addf(call, nil, "try again in some minutes"+off, "throttled, %d attempts in vain%s", max(r.Attempts, 1), said)
	case Unreachable:
		list.Reject(r.Place, "the API cannot be reached"+said, nil, "check the network and the proxy settings of this machine"+off)
	default:
		list.Add(call, "failed"+said, nil, "try again"+off)
	}
}

// maxDetail keeps a message readable: EC2 appends a kilobyte of encoded text to a refusal.
const maxDetail = 240

// OneLine makes what an API said fit into a Refusal's Detail: one line, no full stop, no encoded text, at most 240 bytes.
func OneLine(text string) string {
	text, _, _ = strings.Cut(text, " Encoded authorization failure message")
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "..."
	}
	return text
}
