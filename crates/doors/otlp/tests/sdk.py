"""Exports metrics of every kind with OpenTelemetry's SDK and prints what a reader in the same process saw.

Arguments: grpc | http, the address of the door, cumulative | delta.
Each line of the output is JSON: a PromQL query and the value it should have.
"""

import json
import math
import sys
import time
import urllib.error
import urllib.request

from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.context import attach
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

protocol, address, temporality = sys.argv[1:]
NAMES = {
    "requests": "requests_total",
    "queue": "queue",
    "temperature": "temperature_celsius",
    "polled": "polled_bytes_total",
    "latency": "latency_seconds",
    "size": "size_bytes",
}

trace_id = 0x0102030405060708090A0B0C0D0E0F10
span = trace.NonRecordingSpan(
    trace.SpanContext(trace_id, 0x0102030405060708, False, trace.TraceFlags(trace.TraceFlags.SAMPLED))
)
attach(trace.set_span_in_context(span))

preferred = {}
if temporality == "delta":
    preferred = dict.fromkeys([Counter, Histogram, ObservableCounter], AggregationTemporality.DELTA)
    # Changes of what goes up and down, too.
    preferred[UpDownCounter] = AggregationTemporality.DELTA
if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(
        address, insecure=True, preferred_temporality=preferred, compression=Compression.Gzip
    )
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(
        f"http://{address}/v1/metrics", preferred_temporality=preferred, compression=Compression.Gzip
    )

seen = InMemoryMetricReader()
sent = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
provider = MeterProvider(
    [sent, seen],
    Resource({"service.name": f"shop-{protocol}", "service.instance.id": "i-1", "host.name": "h"}),
    exemplar_filter=AlwaysOnExemplarFilter(),
    views=[View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation(max_scale=20))],
    shutdown_on_exit=False,
)
meter = provider.get_meter("of.shop", "1.2", attributes={"team": "red"})
level = [10]


def polled(_):
    return [Observation(level[0], {"disk": "a"})]


counter = meter.create_counter("requests", "1", "How many.")
queue = meter.create_up_down_counter("queue")
temperature = meter.create_gauge("temperature", "Cel")
meter.create_observable_counter("polled", [polled], "By")
latency = meter.create_histogram("latency", "s", explicit_bucket_boundaries_advisory=[0.1, 1.0, 10.0])
size = meter.create_histogram("size", "By")
for round in range(3):
    counter.add(3 + round, {"http.method": "GET", "ok": True})
    counter.add(0.5, {"http.method": "PUT", "ok": False})
    queue.add(5 - 4 * round)
    temperature.set(-7.25 * round)
    level[0] += 15 * round
    for value in (0.05, 0.7 * round, 3.0, 50.0):
        latency.record(value)
        size.record(value * 1000)
    assert provider.force_flush()
    data = seen.get_metrics_data()

labels = '{job="shop-%s",instance="i-1",otel_scope_name="of.shop",otel_scope_version="1.2",otel_scope_team="red"%s}'


def say(name, more, value):
    print(json.dumps([name % (labels % (protocol, more)), value]))


for metric in data.resource_metrics[0].scope_metrics[0].metrics:
    name = NAMES[metric.name]
    for point in metric.data.data_points:
        more = "".join(
            ',%s="%s"' % (key.replace(".", "_"), str(value).lower() if isinstance(value, bool) else value)
            for key, value in point.attributes.items()
        )
        if hasattr(point, "value"):
            say(name + "%s", more, point.value)
        elif hasattr(point, "bucket_counts"):
            total = 0
            for bound, count in zip([*point.explicit_bounds, math.inf], point.bucket_counts):
                total += count
                text = "+Inf" if bound == math.inf else f"{bound:g}"
                say(name + "_bucket%s", f',le="{text}"', total)
            say(name + "_count%s", "", point.count)
            say(name + "_sum%s", "", point.sum)
        else:
            say(f"histogram_count({name}%s)", "", point.count)
            say(f"histogram_sum({name}%s)", "", point.sum)
            scale, offset, counts = point.scale, point.positive.offset, point.positive.bucket_counts
            # What is below a bound of the coarsest buckets does not depend on how fine they are.
            for power in range(0, 17):
                bound = 2.0**power
                below = sum(
                    count
                    for at, count in enumerate(counts)
                    if 2.0 ** ((offset + at + 1) * 2.0**-scale) <= bound * (1 + 1e-9)
                )
                below += point.zero_count + sum(point.negative.bucket_counts)
                whole = f"histogram_count({name}{{job='shop-{protocol}'}})"
                say(f"histogram_fraction(-Inf, {bound}, {name}%s) * {whole}", "", below)

# What the SDK has no instrument for, and the other form of HTTP: a message by hand.
request = service.ExportMetricsServiceRequest()
if protocol == "grpc":
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
    from grpc import insecure_channel

    of = request.resource_metrics.add()
    pair = of.resource.attributes.add(key="service.name")
    pair.value.string_value = "by-hand"
    metric = of.scope_metrics.add().metrics.add(name="wait", unit="ms")
    point = metric.summary.data_points.add(time_unix_nano=time.time_ns(), count=3, sum=4.5)
    point.quantile_values.add(quantile=0.5, value=1.25)
    answer = MetricsServiceStub(insecure_channel(address)).Export(request)
    assert not answer.HasField("partial_success"), answer
    print(json.dumps(['wait_milliseconds_count{job="by-hand"}', 3]))
    print(json.dumps(['wait_milliseconds_sum{job="by-hand"}', 4.5]))
    print(json.dumps(['wait_milliseconds{job="by-hand",quantile="0.5"}', 1.25]))
    # The unspecified temporality is refused, and counted.
    metric.ClearField("summary")
    metric.sum.data_points.add(time_unix_nano=point.time_unix_nano, as_int=1)
    answer = MetricsServiceStub(insecure_channel(address)).Export(request)
    assert answer.partial_success.rejected_data_points == 1, answer
    assert "temporality" in answer.partial_success.error_message, answer
else:
    tree = MessageToDict(encode_metrics(data), use_integers_for_enums=True)
    for of in tree["resourceMetrics"]:
        for pair in of["resource"]["attributes"]:
            if pair["key"] == "service.name":
                pair["value"]["stringValue"] = "as-json"
        for metric in of["scopeMetrics"][0]["metrics"]:
            for kind in ("sum", "gauge", "histogram", "exponentialHistogram"):
                for point in metric.get(kind, {}).get("dataPoints", []):
                    # Identifiers are in Base64 where Protocol Buffers alone decide.
                    point.pop("exemplars", None)
    body = json.dumps(tree).encode()
    headers = {"content-type": "application/json"}
    post = urllib.request.Request(f"http://{address}/v1/metrics", body, headers)
    try:
        answer = json.load(urllib.request.urlopen(post))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error}: {error.read()}")
    assert answer == {}, answer
