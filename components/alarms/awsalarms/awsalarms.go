// Package awsalarms watches an AWS stack from CloudWatch: alarms with thresholds from the plan, a topic that tells people, and a
// dashboard.
package awsalarms

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:alarms:AWS"

// Gateway is one NAT gateway.
type Gateway struct {
	// Zone is its Availability Zone and the key of its alarms.
	Zone string
	// ID is nat-....
	ID pulumi.StringInput
}

// Slot is one proxy.
type Slot struct {
	Name, Zone string
	// Always says that it should have an instance all the time (awsfleet.ModeActive). Elastic slots are watched while they have
	// one; reserved slots are left out of the list.
	Always bool
}

// AlarmsArgs are the arguments of NewAlarms.
type AlarmsArgs struct {
	// Stack is the name that alarms, dashboard and the fleet's metrics carry.
	Stack string
	// Region is for the dashboard.
	Region string
	// Plan gives the thresholds.
	Plan capacity.Plan
	// Share of a ceiling at which to warn. Default 0.8.
	Share float64
	// MaxConnections and ConnectionsPerSecond are what one proxy holds and takes, as planned.
	MaxConnections       int
	ConnectionsPerSecond float64
	// Gateways and Slots are what is watched. Either may be empty.
	Gateways []Gateway
	Slots    []Slot
	// Emails are subscribed to the topic; each has to confirm. May be empty.
	Emails []string
	// TopicARNs are topics of one's own that are told as well. May be empty.
	TopicARNs []string
	// Dashboard makes one.
	Dashboard bool
	// Tags are added to every resource. May be nil.
	Tags map[string]string
}

// Alarms are what watches.
type Alarms struct {
	pulumi.ResourceState

	// TopicARN is the stack's own topic.
	TopicARN pulumi.StringOutput `pulumi:"topicArn"`
	// DashboardName is the dashboard's name, empty if there is none.
	DashboardName pulumi.StringOutput `pulumi:"dashboardName"`
}
