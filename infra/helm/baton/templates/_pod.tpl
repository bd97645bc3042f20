{{- /* What all pods have in common. Takes root, component, image, own (the component's values). */ -}}

{{- define "baton.pod" -}}
{{- /* Else a Service called baton would put BATON_PORT and the like into the environment. */ -}}
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "baton.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "baton.container" -}}
name: {{ .component }}
image: {{ include "baton.image" . | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "baton.env" -}}
{{- /* The ids of these pods have no name in the image: without BATON_ACTOR, settings ask for one. */ -}}
- {name: BATON_ACTOR, value: {{ include "baton.name" . | quote }}}
- {name: BATON_HOME, value: /var/lib/baton}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
{{- range $name, $value := .root.Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{- /* Files that people write, such as gates: each that has a text is in a ConfigMap and a folder of
       its own. These four take root and files, the names of the values. */ -}}
{{- define "baton.files.env" -}}
{{- range $file := .files }}
{{- if index $.root.Values $file }}
- {name: BATON_{{ upper $file }}, value: /etc/baton/{{ $file }}/{{ $file }}.toml}
{{- end }}
{{- end }}
{{- end -}}

{{- define "baton.files.mounts" -}}
{{- range $file := .files }}
{{- if index $.root.Values $file }}
- {name: {{ $file }}, mountPath: /etc/baton/{{ $file }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "baton.files.volumes" -}}
{{- range $file := .files }}
{{- if index $.root.Values $file }}
- name: {{ $file }}
  configMap: {name: {{ include "baton.name" (dict "root" $.root "component" $file) }}}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Read once: a changed text is a new pod. */ -}}
{{- define "baton.files.checksums" -}}
{{- range $file := .files }}
checksum/{{ $file }}: {{ index $.root.Values $file | sha256sum }}
{{- end }}
{{- end -}}

{{- /* MLflow's client and boto3 read these from the environment only. Takes root, account, bucket. */ -}}
{{- define "baton.stores.env" -}}
{{- $mlflow := .root.Values.mlflow -}}
{{- $s3 := .root.Values.s3 -}}
- {name: MLFLOW_TRACKING_URI, value: {{ $mlflow.url | quote }}}
{{- if $mlflow.auth }}
{{- with index $mlflow .account }}
- name: MLFLOW_TRACKING_USERNAME
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .usernameKey }}}}
- name: MLFLOW_TRACKING_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .passwordKey }}}}
{{- end }}
{{- end }}
{{- if $s3.enabled }}
{{- with $s3.endpoint }}
- {name: MLFLOW_S3_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- with $s3.region }}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- if not $s3.podIdentity }}
{{- with index $s3 .bucket }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKey }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Files below /run/secrets/baton. Takes a list of {existingSecret, key, path}. */ -}}
{{- define "baton.secrets" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
{{- range . }}
      - secret: {name: {{ .existingSecret }}, items: [{key: {{ .key }}, path: {{ .path }}}]}
{{- end }}
{{- end -}}

{{- define "baton.mounts" -}}
- {name: home, mountPath: /var/lib/baton}
- {name: scratch, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/baton, readOnly: true}
{{- end -}}

{{- define "baton.resources" -}}
resources:
  requests: {cpu: {{ .cpu | quote }}, memory: {{ printf "%dMi" (int (default .memoryMi .memoryRequestMi)) }}}
  limits: {memory: {{ printf "%dMi" (int .memoryMi) }}}
{{- end -}}
