"""Twenty things that are everywhere, in 26 languages, and the rule that adds a territory's name.

"a wedding, Finland": a noun phrase, a comma, the bare name. A sentence like "a wedding in {territory}" would need the
name in a case, with a preposition and with an article that depend on the name (en Finlande, au Japon, aux États-Unis;
Suomessa, Venäjällä). CLDR has only the bare name, and a wrong form would show up as a false difference between territories.
The words are this project's own. With twenty of them, a signed-rank test of one territory in one language can be significant
after a correction for 250 territories.
"""

from __future__ import annotations

IDS = [
    "street",
    "house",
    "kitchen",
    "living-room",
    "village",
    "city",
    "market",
    "shop",
    "restaurant",
    "meal",
    "breakfast",
    "wedding",
    "family",
    "festival",
    "school",
    "hospital",
    "bus",
    "farm",
    "park",
    "musician",
]
_TOPICS = {
    "outdoors": "street village city farm park",
    "home": "house kitchen living-room",
    "services": "shop school hospital bus",
    "food": "market restaurant meal breakfast",
    "people": "wedding family festival musician",
}
TOPIC_OF = {thing: topic for topic, things in _TOPICS.items() for thing in things.split()}

_THINGS = {
    "ar": "شارع|منزل|مطبخ|غرفة معيشة|قرية|مدينة|سوق|متجر|مطعم|وجبة طعام|فطور|حفل زفاف|عائلة|مهرجان|مدرسة|مستشفى|حافلة|مزرعة"
    "|حديقة|موسيقي",
    "bn": "রাস্তা|বাড়ি|রান্নাঘর|বসার ঘর|গ্রাম|শহর|বাজার|দোকান|রেস্তোরাঁ|খাবার|সকালের নাস্তা|বিয়ে|পরিবার|উৎসব|স্কুল|হাসপাতাল|বাস|খামার|পার্ক|সঙ্গীতশিল্পী",
    "de": "eine Straße|ein Haus|eine Küche|ein Wohnzimmer|ein Dorf|eine Stadt|ein Markt|ein Laden|ein Restaurant"
    "|eine Mahlzeit|ein Frühstück|eine Hochzeit|eine Familie|ein Fest|eine Schule|ein Krankenhaus|ein Bus|ein Bauernhof"
    "|ein Park|ein Musiker",
    "el": "ένας δρόμος|ένα σπίτι|μια κουζίνα|ένα σαλόνι|ένα χωριό|μια πόλη|μια αγορά|ένα κατάστημα|ένα εστιατόριο|ένα γεύμα"
    "|ένα πρωινό|ένας γάμος|μια οικογένεια|μια γιορτή|ένα σχολείο|ένα νοσοκομείο|ένα λεωφορείο|ένα αγρόκτημα|ένα πάρκο"
    "|ένας μουσικός",
    "en": "a street|a house|a kitchen|a living room|a village|a city|a market|a shop|a restaurant|a meal|a breakfast"
    "|a wedding|a family|a festival|a school|a hospital|a bus|a farm|a park|a musician",
    "es": "una calle|una casa|una cocina|una sala de estar|un pueblo|una ciudad|un mercado|una tienda|un restaurante"
    "|una comida|un desayuno|una boda|una familia|una fiesta|una escuela|un hospital|un autobús|una granja|un parque"
    "|un músico",
    "fa": "خیابان|خانه|آشپزخانه|اتاق نشیمن|روستا|شهر|بازار|مغازه|رستوران|وعدهٔ غذا|صبحانه|عروسی|خانواده|جشن|مدرسه|بیمارستان"
    "|اتوبوس|مزرعه|پارک|نوازنده",
    "fi": "katu|talo|keittiö|olohuone|kylä|kaupunki|tori|kauppa|ravintola|ateria|aamiainen|häät|perhe|juhla|koulu|sairaala"
    "|linja-auto|maatila|puisto|muusikko",
    "fr": "une rue|une maison|une cuisine|un salon|un village|une ville|un marché|un magasin|un restaurant|un repas"
    "|un petit-déjeuner|un mariage|une famille|une fête|une école|un hôpital|un bus|une ferme|un parc|un musicien",
    "he": "רחוב|בית|מטבח|סלון|כפר|עיר|שוק|חנות|מסעדה|ארוחה|ארוחת בוקר|חתונה|משפחה|פסטיבל|בית ספר|בית חולים|אוטובוס|חווה"
    "|פארק|מוזיקאי",
    "hi": "सड़क|घर|रसोई|बैठक का कमरा|गाँव|शहर|बाज़ार|दुकान|रेस्तराँ|भोजन|नाश्ता|शादी|परिवार|त्योहार|स्कूल|अस्पताल|बस|खेत|पार्क|संगीतकार",
    "id": "jalan|rumah|dapur|ruang tamu|desa|kota|pasar|toko|restoran|makanan|sarapan|pernikahan|keluarga|festival|sekolah"
    "|rumah sakit|bus|ladang pertanian|taman|musisi",
    "it": "una strada|una casa|una cucina|un soggiorno|un villaggio|una città|un mercato|un negozio|un ristorante|un pasto"
    "|una colazione|un matrimonio|una famiglia|una festa|una scuola|un ospedale|un autobus|una fattoria|un parco"
    "|un musicista",
    "ja": "通り|家|台所|居間|村|都市|市場|店|レストラン|食事|朝食|結婚式|家族|祭り|学校|病院|バス|農場|公園|音楽家",
    "ko": "거리|집|부엌|거실|마을|도시|시장|가게|식당|식사|아침 식사|결혼식|가족|축제|학교|병원|버스|농장|공원|음악가",
    "nl": "een straat|een huis|een keuken|een woonkamer|een dorp|een stad|een markt|een winkel|een restaurant|een maaltijd"
    "|een ontbijt|een bruiloft|een gezin|een feest|een school|een ziekenhuis|een bus|een boerderij|een park|een muzikant",
    "pl": "ulica|dom|kuchnia|salon|wieś|miasto|targ|sklep|restauracja|posiłek|śniadanie|wesele|rodzina|festyn|szkoła|szpital"
    "|autobus|gospodarstwo rolne|park|muzyk",
    "pt": "uma rua|uma casa|uma cozinha|uma sala de estar|uma aldeia|uma cidade|um mercado|uma loja|um restaurante"
    "|uma refeição|um café da manhã|um casamento|uma família|uma festa|uma escola|um hospital|um ônibus|uma fazenda"
    "|um parque|um músico",
    "ru": "улица|дом|кухня|гостиная|деревня|город|рынок|магазин|ресторан|трапеза|завтрак|свадьба|семья|праздник|школа"
    "|больница|автобус|ферма|парк|музыкант",
    "sv": "en gata|ett hus|ett kök|ett vardagsrum|en by|en stad|en marknad|en affär|en restaurang|en måltid|en frukost"
    "|ett bröllop|en familj|en fest|en skola|ett sjukhus|en buss|en bondgård|en park|en musiker",
    "sw": "barabara|nyumba|jikoni|sebule|kijiji|jiji|soko|duka|mkahawa|mlo|kiamsha kinywa|harusi|familia|tamasha|shule"
    "|hospitali|basi|shamba|bustani ya umma|mwanamuziki",
    "th": "ถนน|บ้าน|ห้องครัว|ห้องนั่งเล่น|หมู่บ้าน|เมือง|ตลาด|ร้านค้า|ร้านอาหาร|มื้ออาหาร|อาหารเช้า|งานแต่งงาน|ครอบครัว|งานเทศกาล|โรงเรียน"
    "|โรงพยาบาล|รถเมล์|ฟาร์ม|สวนสาธารณะ|นักดนตรี",
    "tr": "bir sokak|bir ev|bir mutfak|bir oturma odası|bir köy|bir şehir|bir pazar|bir dükkân|bir restoran|bir yemek"
    "|bir kahvaltı|bir düğün|bir aile|bir şenlik|bir okul|bir hastane|bir otobüs|bir çiftlik|bir park|bir müzisyen",
    "uk": "вулиця|будинок|кухня|вітальня|село|місто|ринок|крамниця|ресторан|трапеза|сніданок|весілля|родина|свято|школа"
    "|лікарня|автобус|ферма|парк|музикант",
    "vi": "đường phố|ngôi nhà|nhà bếp|phòng khách|ngôi làng|thành phố|khu chợ|cửa hàng|nhà hàng|bữa ăn|bữa sáng|đám cưới"
    "|gia đình|lễ hội|trường học|bệnh viện|xe buýt|nông trại|công viên|nhạc công",
    "zh": "街道|房子|厨房|客厅|村庄|城市|市场|商店|餐厅|餐食|早餐|婚礼|家庭|节日庆典|学校|医院|公交车|农场|公园|音乐家",
}
#: The text between the thing and the territory.
COMMAS = {"ar": "، ", "fa": "، ", "ja": "、", "th": " ", "zh": "，"}

THINGS = {language: dict(zip(IDS, text.split("|"), strict=True)) for language, text in _THINGS.items()}
