{{- /* Everything that is missing or cannot work together, all at once. Fails; renders nothing. */ -}}

{{- define "baton.missing" -}}
{{- $v := .Values -}}
{{- $needs := list
  (dict "path" "images.serving.repository" "value" $v.images.serving.repository)
  (dict "path" "images.registrar.repository" "value" $v.images.registrar.repository)
  (dict "path" "database.owner.existingSecret" "value" $v.database.owner.existingSecret)
  (dict "path" "database.writer.existingSecret" "value" $v.database.writer.existingSecret)
  (dict "path" "database.node.existingSecret" "value" $v.database.node.existingSecret)
  (dict "path" "database.log.existingSecret" "value" $v.database.log.existingSecret)
  (dict "path" "mlflow.url" "value" $v.mlflow.url)
  (dict "path" "apiKeys.existingSecret" "value" $v.apiKeys.existingSecret) -}}
{{- if $v.mlflow.auth -}}
{{- $needs = append $needs (dict "path" "mlflow.serving.existingSecret" "value" $v.mlflow.serving.existingSecret) -}}
{{- $needs = append $needs (dict "path" "mlflow.registrar.existingSecret" "value" $v.mlflow.registrar.existingSecret) -}}
{{- end -}}
{{- if and $v.s3.enabled (not $v.s3.podIdentity) -}}
{{- $needs = append $needs (dict "path" "s3.read.existingSecret" "value" $v.s3.read.existingSecret) -}}
{{- $needs = append $needs (dict "path" "s3.write.existingSecret" "value" $v.s3.write.existingSecret) -}}
{{- end -}}
{{- if $v.worker.enabled -}}
{{- $needs = append $needs (dict "path" "images.worker.repository" "value" $v.images.worker.repository) -}}
{{- $needs = append $needs (dict "path" "database.worker.existingSecret" "value" $v.database.worker.existingSecret) -}}
{{- if $v.mlflow.auth -}}
{{- $needs = append $needs (dict "path" "mlflow.worker.existingSecret" "value" $v.mlflow.worker.existingSecret) -}}
{{- end -}}
{{- end -}}
{{- if $v.serviceMonitor.enabled -}}
{{- $needs = append $needs (dict "path" "metricsKey.existingSecret" "value" $v.metricsKey.existingSecret) -}}
{{- end -}}
{{- if $v.ingress.enabled -}}
{{- $needs = append $needs (dict "path" "ingress.className" "value" $v.ingress.className) -}}
{{- $needs = append $needs (dict "path" "ingress.host" "value" $v.ingress.host) -}}
{{- $needs = append $needs (dict "path" "ingress.tlsSecret" "value" $v.ingress.tlsSecret) -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- $needs = append $needs (dict "path" "networkPolicy.clients" "value" $v.networkPolicy.clients) -}}
{{- $needs = append $needs (dict "path" "networkPolicy.database.to" "value" $v.networkPolicy.database.to) -}}
{{- $needs = append $needs (dict "path" "networkPolicy.mlflow.to" "value" $v.networkPolicy.mlflow.to) -}}
{{- if $v.s3.enabled -}}
{{- $needs = append $needs (dict "path" "networkPolicy.s3.to" "value" $v.networkPolicy.s3.to) -}}
{{- end -}}
{{- if and $v.monitor.enabled $v.serviceMonitor.enabled -}}
{{- $needs = append $needs (dict "path" "networkPolicy.watchers" "value" $v.networkPolicy.watchers) -}}
{{- end -}}
{{- end -}}
{{- $missing := list -}}
{{- range $needs -}}
{{- if not .value -}}{{- $missing = append $missing .path -}}{{- end -}}
{{- end -}}
{{- join ", " $missing -}}
{{- end -}}

{{- define "baton.check" -}}
{{- $v := .Values -}}
{{- with include "baton.missing" . -}}
{{- fail (printf "these values are needed and empty: %s. Secrets are named, never written into values: README.md of the chart says what each holds" .) -}}
{{- end -}}
{{- $serving := add $v.serving.trialMemoryMi $v.serving.sharedMemoryMi 512 -}}
{{- if gt (int $serving) (int $v.serving.memoryMi) -}}
{{- fail (printf "serving.memoryMi: expected at least %d (serving.trialMemoryMi + serving.sharedMemoryMi + 512 for what serves), got %d: a trial beyond the limit would end the whole pod" (int $serving) (int $v.serving.memoryMi)) -}}
{{- end -}}
{{- range $judge := list "registrar" "monitor" -}}
{{- $own := index $v $judge -}}
{{- $needed := add (max $own.trialMemoryMi $own.packageMemoryMi) 512 -}}
{{- if and (dig "enabled" true $own) (gt (int $needed) (int $own.memoryMi)) -}}
{{- fail (printf "%s.memoryMi: expected at least %d (the larger of %s.trialMemoryMi and %s.packageMemoryMi, + 512), got %d" $judge (int $needed) $judge $judge (int $own.memoryMi)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.rules (not $v.monitor.enabled) -}}
{{- fail "rules: expected none while monitor.enabled is false: only the monitor goes by them" -}}
{{- end -}}
{{- with $v.serving.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "serving.autoscaling: expected minReplicas ≤ maxReplicas, got %d and %d" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.prometheusRule.enabled (not (.Files.Glob "rules/*.yml")) -}}
{{- fail "prometheusRule.enabled: this chart has no rules/: it was not packaged; `make chart` puts infra/prometheus/rules there and writes var/chart/" -}}
{{- end -}}
{{- end -}}
