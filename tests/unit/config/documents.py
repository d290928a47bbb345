"""Documents that tests begin with."""

WHOLE = """
realms:
  - {name: acme, default: true, directories: [staff, partners], domains: [ACME, acme.test]}
  - {name: lab, directories: [staff], reply_floor_ms: 400, language: tr}
directories:
  - {name: staff, kind: local, verified_cache_s: 60}
  - {name: partners, kind: local, keep_hashes: true}
gateways:
  - name: mail
    kind: smtp
    servers: ["smtps://mail.acme.test:465"]
    username: wardgate
    password: {file: /etc/wardgate/smtp}
    sender: login@acme.test
  - name: sms
    kind: http
    request:
      url: https://sms.acme.test/send
      headers: {Authorization: "Bearer {secret}"}
      json: {to: "{number}", text: "{text}", unicode: true, tries: 3}
    secret: {env: SMS_TOKEN}
    accepted: {status: [200, 202], json_path: result.0.status, json_equals: 0}
  - {name: outbox, kind: pickup, channel: sms}
nas:
  - name: hq-firewall
    addresses: [10.0.0.1, "10.0.0.2/31", "2001:db8::/64"]
    secret: {value: s3cret-s3cret-s3cret}
    vendor: paloalto
    application: vpn
  - name: branch
    addresses: [10.0.0.1]
    identifier: branch
    secret: {env: BRANCH}
    application: vpn
    message_authenticator: accept_missing
    mode: password_then_code
    separator: ","
    code_digits: 8
  - {name: old, addresses: [10.0.9.1], secret: {file: /etc/wardgate/old}, application: wifi, message_authenticator: auto}
applications:
  - name: vpn
    title: VPN of Acme
    policy: remote-access
    release:
      - {when: {group: ["staff:vpn-users"]}, add: {PaloAlto-User-Group: "{group}", "9:1": "shell:priv-lvl=15"}}
    sms_text: {en: "{code} for {application}"}
  - {name: wifi}
policies:
  - name: remote-access
    rules:
      - {name: contractors, when: {group: ["partners:contractors"]}, then: {steps: [[password], [totp]]}}
      - {name: guests, when: {any: [{user: guest}, {network: [192.0.2.0/24]}]}, then: {deny: true}}
      - {name: staff, then: {steps: [[password], [totp, sms, email]]}}
    floors:
      - {name: administrators, when: {group: ["acme:Domain Admins"]}, then: {strong_factors: 1, never: [sms, email]}}
codes: {life_s: 240, resend_after_s: [20, 40]}
brakes: {user_source_failures: 4}
"""

SMALL = """
realms: [{name: acme, default: true, directories: [staff]}]
directories: [{name: staff, kind: local}]
applications: [{name: vpn}]
nas:
  - {name: fw, addresses: [10.0.0.1], secret: {value: s3cret-s3cret-s3cret}, application: vpn}
"""
